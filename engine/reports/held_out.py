"""The rows that a head was validated on, as a report shows them: texts, outputs, lengths and features."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import FeatureTable, Source, plan
from ...store.duck import workspace
from ...store.locations import ROW_BITS, ROW_MASK
from ...store.lookup import look_up
from ...store.sides import encoded_texts, locations_of_rows
from ...store.stage import Stage, stage_source
from ..heads.head import Head
from ..heads.targets import read_targets
from ..heads.tasks import MULTI_LABEL, REGRESSION
from ..scoring.row_features import RowFeatures
from ..scoring.tables import Group
from .number_rows import NumberRows
from .rows import Rows
from .set_rows import SetRows

MAX_ROWS = 10_000
_MAPPED_ROWS, _BLOCK_ROWS, _BLOCK_BYTES = 2000, 8192, 64 << 20


def held_out_rows(
    head: Head,
    table: FeatureTable,
    source: Source,
    *,
    share: float | None = None,
    seed: int = 42,
    predicted: pa.Table | None = None,
) -> Rows | NumberRows | SetRows:
    """Labelled rows of ``source``, at most MAX_ROWS of them chosen at random.

    With ``share``, they are among those that a Fraction of the texts holds out by ``seed``. ``predicted``
    holds what heads predicted that did not see the rows, as :func:`engine.sweep.folds.out_of_fold_table`
    gives it, and rows without a prediction are left out; else the head's own outputs are shown. Raises what
    reading the source and its features raises.
    """
    rng = np.random.default_rng(0)
    if source.is_separate and head.combination is None:  # the head takes each pair as one text
        source = replace(source, pairs="joint")
    with workspace() as con:
        stage = stage_source(con, source, label_column=head.record["label_columns"])
        chosen = stage.rows_where("label IS NOT NULL")
        if share is not None:
            chosen &= stage.rows_where(plan.held_out_sql(share, seed))
        shards = table.shards
        locations = locations_of_rows(stage, look_up(encoded_texts(stage), shards).locations)
        _, targets = read_targets(stage, locations, head.task, head.labels, chosen)
        ids = np.flatnonzero(chosen)
        is_told = predicted is not None and len(predicted) == len(ids)
        if predicted is not None and is_told:
            known = predicted["prediction"].is_valid().to_numpy()
            ids, targets, predicted = ids[known], targets[known], predicted.filter(known)
        picked = np.sort(rng.choice(len(ids), min(MAX_ROWS, len(ids)), replace=False))
        group = Group([""], [table], table.spec, shards, locations)
        outputs, features = _served(RowFeatures(head, group, stage), head, ids[picked], features_only=is_told)
        labels = [str(label) for label in head.labels.values]
        if predicted is not None and is_told:
            names = [f"proba_{label}" for label in head.labels.values] or ["prediction"]
            kept = predicted.select(names).take(pa.array(picked))
            outputs = np.stack([kept[name].to_numpy() for name in names], 1)
        texts, places = _texts(stage, ids[picked])
        if head.task is REGRESSION:
            found = outputs[:, 0].astype(np.float64)
            return NumberRows(targets[picked].astype(np.float64), found, texts, places, len(ids))
        if head.task is MULTI_LABEL:
            return SetRows(labels, targets[picked] > 0, outputs, texts, places, len(ids))
        tokens, truncated = _lengths(shards, locations[ids[picked]])
        return Rows(
            labels, targets[picked], outputs.argmax(1).astype(np.int64), outputs, texts, places, len(ids),
            tokens, truncated, features,
        )  # fmt: skip


def _served(
    rows: RowFeatures, head: Head, ids: np.ndarray, *, features_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The head's outputs of rows, float32 [n, labels], and the first rows' features, float32 [m, width].

    Of features of tokens, the mean over the tokens is taken. With ``features_only`` there are no outputs: a
    head of upper layers takes its time for them.
    """
    step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // (4 * int(np.prod(head.shape)))))
    outputs, features = [], []
    for start in range(0, len(ids), step):
        block = ids[start : start + step]
        if not features_only:
            outputs.append(rows.outputs(block))
        if start < _MAPPED_ROWS:
            first = rows.take(block[: _MAPPED_ROWS - start]).astype(np.float32)
            features.append(first.mean(1) if first.ndim == 3 else first)
    made = np.concatenate(outputs) if outputs else np.empty((0, head.outputs_count), np.float32)
    return made, np.concatenate(features)


def _texts(stage: Stage, ids: np.ndarray) -> tuple[list[str], list[str]]:
    """Texts of the rows with these ids, which ascend, and where each row stands; pairs with a bar between."""
    text = "r.text || ' | ' || r.pair" if stage.pair_column else "r.text"
    with stage.con.cursor() as cursor:
        cursor.register("wanted", pa.table({"id": ids}))
        found = cursor.sql(
            f"SELECT {text}, f.name, r.row FROM {stage.name} r JOIN wanted USING (id) "
            f"JOIN {stage.name}_files f ON f.id = r.source ORDER BY r.id"
        ).fetchall()
        cursor.unregister("wanted")
    return [text for text, _, _ in found], [f"{Path(file).name} row {row}" for _, file, row in found]


def _lengths(shards: list[str], locations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens before the cut, int32 [rows], and whether a text was cut, bool [rows]; of two texts, the longer
    one counts.
    """
    tokens, truncated = np.zeros(locations.shape, np.int32), np.zeros(locations.shape, np.bool_)
    numbers = locations >> ROW_BITS
    for number in np.unique(numbers).tolist():
        here = numbers == number
        columns = pq.ParquetFile(shards[number]).read(columns=["n_tokens", "truncated"])
        rows = locations[here] & ROW_MASK
        tokens[here] = columns["n_tokens"].to_numpy()[rows]
        truncated[here] = columns["truncated"].to_numpy()[rows]
    if tokens.ndim == 1:
        return tokens, truncated
    return np.max(tokens, axis=1), np.logical_or.reduce(truncated, axis=1)
