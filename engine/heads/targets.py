"""From what stands in a source's label columns to the numbers that a task is trained on."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...store import LabelError, SourceError, plan
from ...store.stage import Stage
from .labels import LABELS_SQL, Labels, first_place
from .tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task, task_of

_FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}
_NUMBER = "TRY_CAST(label AS DOUBLE)"
_READ_ROWS = 1 << 16
CLASS_TYPE = np.int16  # holds MAX_CLASSES; memory grows by it for each row


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
    stage: Stage, locations: np.ndarray, task: Task, labels: Labels, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Locations int64 [rows] and targets of a stage's labelled rows among those chosen, in their order.

    ``locations`` are those of all rows, see :class:`store.lookup.Lookup`, or of both texts of each row
    [ids, 2], and then those that are returned are int64 [rows, 2]. ``chosen`` is bool [ids], see
    :meth:`Stage.rows_where`. Targets are class numbers
    int16 [rows] for single labels, 0 and 1 as float32 [rows, classes] for several, float32 [rows] for a
    regression. What is returned is all that is held, but for a constant. Raises LabelError, naming the row,
    for a label that is none of the task's.
    """
    read, shape, dtype = {
        SINGLE_LABEL.name: (_numbers, (), CLASS_TYPE),
        MULTI_LABEL.name: (_flags, (len(labels),), np.float32),
        REGRESSION.name: (_values, (), np.float32),
    }[task.name]
    rows = int(np.count_nonzero(chosen & stage.rows_where("label IS NOT NULL")))
    found = np.empty((rows, *locations.shape[1:]), np.int64)
    targets, start, last = np.empty((rows, *shape), dtype), 0, -1
    for all_ids, all_values in read(stage, labels):
        ids, values = all_ids[chosen[all_ids]], all_values[chosen[all_ids]]
        if not (np.diff(ids, prepend=last) > 0).all():
            raise RuntimeError(f"the rows of stage {stage.name} are not in order")
        part = slice(start, start + len(ids))
        found[part], targets[part] = locations[ids], values
        start, last = part.stop, int(all_ids[-1])
    return found, targets


Batches = Iterator[tuple[np.ndarray, np.ndarray]]
"""Ids int64 [n] of a stage's rows, and their targets."""


def _numbers(stage: Stage, labels: Labels) -> Batches:
    texts, numbers = labels.numbers_in(stage)
    known = pa.array(texts, pa.string())
    for batch in _labelled(stage, "label"):
        positions = pc.index_in(batch.column("target"), value_set=known)  # type: ignore[attr-defined]
        yield batch.column("id").to_numpy(), numbers[positions.to_numpy()]


def _values(stage: Stage, _: Labels) -> Batches:
    refuse_rows(
        stage,
        "coalesce(NOT isfinite(TRY_CAST(label AS FLOAT)), true)",
        "is no number that a regression can learn",
    )
    for batch in _labelled(stage, _NUMBER):
        yield batch.column("id").to_numpy(), batch.column("target").to_numpy()


def _flags(stage: Stage, labels: Labels) -> Batches:
    _require_lists(stage)
    for batch in _labelled(stage, LABELS_SQL):
        yield batch.column("id").to_numpy(), _flags_of(stage, labels, batch.column("target"))


def _flags_of(stage: Stage, labels: Labels, lists: pa.ListArray) -> np.ndarray:
    """0 and 1 as float32 [rows, classes]."""
    parents, raw = pc.list_parent_indices(lists).to_numpy(), lists.flatten().dictionary_encode()  # type: ignore[attr-defined]
    texts, indices = raw.dictionary.to_pylist(), raw.indices
    if len(stage.label_columns) > 1:
        return _columns_of_flags(stage, texts, indices.to_numpy().reshape(len(lists), len(labels)))
    known = indices.is_valid().to_numpy(zero_copy_only=False)
    flags = np.zeros((len(lists), len(labels)), np.float32)
    numbers = labels.numbers_of(
        texts, stage, lambda text: f"list_contains({LABELS_SQL}, {plan.literal(text)})"
    )
    flags[parents[known], numbers[indices.drop_null().to_numpy()]] = 1
    return flags


def _labelled(stage: Stage, target: str) -> Iterator[pa.RecordBatch]:
    """``id`` and ``target``, an expression over the label, of labelled rows, in the source's order."""
    rows = plan.rows_sql(stage.name, f"id, {target} AS target", "label IS NOT NULL")
    with stage.con.cursor() as cursor:
        for batch in cursor.sql(rows).to_arrow_reader(_READ_ROWS):
            if batch.num_rows:
                yield batch


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


def refuse_rows(stage: Stage, condition: str, problem: str) -> None:
    """Raise LabelError for the first labelled row for which a condition holds."""
    labelled = f"label IS NOT NULL AND {condition}"
    rows = stage.con.sql(
        f"SELECT label FROM {stage.name} WHERE key IS NOT NULL AND {labelled} ORDER BY source, row LIMIT 1"
    ).fetchall()
    if rows:
        raise LabelError(f"label '{rows[0][0]}' in {first_place(stage, labelled)} {problem}")
