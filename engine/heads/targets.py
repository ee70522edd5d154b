"""From what stands in a source's label columns to the numbers that a task is trained on."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...store import LabelError, SourceError, plan
from ...store.stage import Stage
from .labels import LABELS_SQL, Labels, first_place
from .tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task, task_of

_FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}
_NUMBER = "TRY_CAST(label AS DOUBLE)"


def detect_task(stage: Stage, asked: str | None = None) -> Task:
    """The task asked for, or the one that the label columns leave no doubt about.

    Several columns, or a column of lists, are several labels. Raises LabelError where the labels are
    fractions, or text that looks like lists, and nothing was asked for; SourceError where the columns
    cannot serve the task.
    """
    several, lists = len(stage.label_columns) > 1, bool(stage.label_type and stage.label_type.endswith("[]"))
    task = task_of(asked) if asked else MULTI_LABEL if several or lists else SINGLE_LABEL
    if task is not MULTI_LABEL and (several or lists):
        found = (
            "several label columns were given"
            if several
            else f"column '{stage.label_columns[0]}' holds lists"
        )
        raise SourceError(
            f"a {task.name} task has one label a row, but {found}; leave out --task, or choose one column"
        )
    if asked is None and task is SINGLE_LABEL:
        _require_classes(stage)
    return task


def _require_classes(stage: Stage) -> None:
    number, title = _NUMBER, stage.source.title
    texts, fraction, flat, example = stage.con.sql(
        f"SELECT count(*) FILTER ({number} IS NULL), min(label) FILTER ({number} <> floor({number})), "
        f"count(*) FILTER (label NOT LIKE '[%]'), min(label) FROM {stage.name} WHERE key IS NOT NULL "
        "AND label IS NOT NULL"
    ).fetchall()[0]
    if not texts and fraction is not None:
        raise LabelError(
            f"the label column of {title} holds fractions such as {fraction}; pass --task regression, "
            "or --task single-label if each of them is a class"
        )
    if not flat and example is not None:
        raise LabelError(
            f"the label column of {title} holds lists such as {example}; pass --task multi-label, "
            "or --task single-label if each of them is one class"
        )


def labels_of(stage: Stage, task: Task) -> Labels:
    """The task's labels, from the training rows; a regression has none."""
    if task is REGRESSION:
        return Labels(())
    if task is SINGLE_LABEL:
        return Labels.of(stage)
    _require_lists(stage)
    return Labels.of_lists(stage)


def read_targets(
    stage: Stage, shards: list[str], task: Task, labels: Labels, condition: str
) -> tuple[np.ndarray, np.ndarray]:
    """Locations int64 [rows] and targets of a stage's labelled rows for which a condition holds, in the
    source's order.

    Targets are class numbers int64 [rows] for single labels, 0 and 1 as float32 [rows, classes] for
    several, float32 [rows] for a regression. Raises LabelError, naming the row, for a label that is
    none of the task's.
    """
    read = {SINGLE_LABEL.name: _numbers, MULTI_LABEL.name: _flags, REGRESSION.name: _values}[task.name]
    locations, targets = read(stage, shards, labels, condition)
    return np.ascontiguousarray(locations, np.int64), targets


def _numbers(
    stage: Stage, shards: list[str], labels: Labels, condition: str
) -> tuple[np.ndarray, np.ndarray]:
    labels.write_ids(stage, f"{stage.name}_ids")
    rows = stage.con.sql(plan.labelled_sql(stage.name, shards, f"{stage.name}_ids", condition)).fetchnumpy()
    return rows["location"], np.ascontiguousarray(rows["label"], dtype=np.int64)


def _values(stage: Stage, shards: list[str], _: Labels, condition: str) -> tuple[np.ndarray, np.ndarray]:
    refuse_rows(
        stage,
        "coalesce(NOT isfinite(TRY_CAST(label AS FLOAT)), true)",
        "is no number that a regression can learn",
    )
    rows = stage.con.sql(plan.targets_sql(stage.name, shards, _NUMBER, condition)).fetchnumpy()
    return rows["location"], np.ascontiguousarray(rows["target"], dtype=np.float32)


def _flags(stage: Stage, shards: list[str], labels: Labels, condition: str) -> tuple[np.ndarray, np.ndarray]:
    _require_lists(stage)
    rows = stage.con.sql(plan.targets_sql(stage.name, shards, LABELS_SQL, condition)).to_arrow_table()
    lists = pa.chunked_array(rows["target"]).combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # of no chunks
        lists = pa.array([], rows["target"].type)
    parents, raw = pc.list_parent_indices(lists).to_numpy(), lists.flatten().dictionary_encode()  # type: ignore[attr-defined]
    texts, indices = raw.dictionary.to_pylist(), raw.indices
    if len(stage.label_columns) > 1:
        targets = _columns_of_flags(stage, texts, indices.to_numpy().reshape(len(rows), len(labels)))
    else:
        known = indices.is_valid().to_numpy(zero_copy_only=False)
        targets = np.zeros((len(rows), len(labels)), np.float32)
        targets[parents[known], _class_numbers(stage, texts, labels)[indices.drop_null().to_numpy()]] = 1
    return rows["location"].to_numpy(), targets


def _require_lists(stage: Stage) -> None:
    refuse_rows(
        stage,
        "TRY(json_type(label)) IS DISTINCT FROM 'ARRAY'",
        'is no list of labels; write one as ["a", "b"]',
    )


def _columns_of_flags(stage: Stage, texts: list[str], indices: np.ndarray) -> np.ndarray:
    for number, text in enumerate(texts):
        if text.lower() not in _FLAGS:
            column = int(np.argwhere(indices == number)[0][1])
            where = first_place(stage, f"{LABELS_SQL}[{column + 1}] = {plan.literal(text)}")
            raise LabelError(
                f"column '{stage.label_columns[column]}' has '{text}' in {where}; a label's column "
                "holds 0 and 1"
            )
    return np.array([_FLAGS[text.lower()] for text in texts], np.float32)[indices]


def _class_numbers(stage: Stage, texts: list[str], labels: Labels) -> np.ndarray:
    numbers = [labels.number(text) for text in texts]
    if None in numbers:
        text = texts[numbers.index(None)]
        where = first_place(stage, f"list_contains({LABELS_SQL}, {plan.literal(text)})")
        raise LabelError(
            f"unknown label '{text}' in {where}; training has: {', '.join(map(str, labels.values[:10]))}"
        )
    return np.array(numbers, np.int64)


def refuse_rows(stage: Stage, condition: str, problem: str) -> None:
    """Raise LabelError for the first labelled row for which a condition holds."""
    labelled = f"label IS NOT NULL AND {condition}"
    rows = stage.con.sql(
        f"SELECT label FROM {stage.name} WHERE key IS NOT NULL AND {labelled} ORDER BY source, row LIMIT 1"
    ).fetchall()
    if rows:
        raise LabelError(f"label '{rows[0][0]}' in {first_place(stage, labelled)} {problem}")
