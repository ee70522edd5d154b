"""A Parquet file in, the same file with predictions out."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..store import (
    FeatureSpec,
    FeatureTable,
    HeadError,
    Source,
    SourceError,
    SpecError,
    Store,
    StoreError,
    plan,
)
from ..store.batches import MappedFeatures
from ..store.duck import workspace
from ..store.files import replaced_file
from ..store.stage import Stage, stage_source
from .backends.load import load_encoder_of
from .encode.build import Progress, Stopwatch, encode_missing, find_missing
from .encode.encoder import Encoder, encode_texts
from .heads.head import Head
from .heads.tasks import MULTI_LABEL

BATCH_ROWS = 65536
BATCH_BYTES = 64 << 20  # of features at a time


@dataclass(frozen=True)
class ScoreSummary:
    """What a run of :func:`score_parquet` did."""

    rows: int
    scored: int
    rejected: int
    """Rows with a null prediction, for want of a usable text."""
    rejects: dict[str, int]
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    predictions: dict[str, int]
    """Rows by predicted label; a row with several counts for each. Empty for a regression."""
    seconds: dict[str, float]
    output: str


@dataclass(frozen=True)
class Prediction:
    """What a head makes of one text."""

    value: Any
    """A label; a list of labels for several; a number for a regression."""
    proba: dict[Any, float]
    """Probability by label, the most probable first; empty for a regression."""


def score_parquet(
    input: str | Path,
    output: str | Path,
    head: Head,
    store: Store | str | Path | None = None,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    proba: bool = False,
    cache: bool = True,
    column_prefix: str = "",
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Write ``input``'s columns with ``prediction`` and ``score`` (and ``proba_<label>``) to ``output``.

    ``prediction`` is a label and ``score`` its probability; for several labels both are lists, of the
    labels with a probability above a half; a regression has a number and no ``score``. Texts that the
    store knows are not encoded again; the others are encoded and, with ``cache``, added to it. Without
    a store all are encoded, and nothing is kept. Rows without a usable text get nulls. ``load`` makes
    the encoder of a setting, and is called only if there is something to encode. The output appears
    whole or not at all.
    """
    input, output = Path(input), Path(output)
    added = _added_fields(head, column_prefix, proba)
    schema = _input_schema(input, added)
    if output.resolve() == input.resolve():
        raise SourceError(f"'{output}' is the input itself; choose another output")
    source = Source(
        input,
        format="parquet",
        text_column=text_column or head.text_column or None,
        pair_column=pair_column or head.pair_column,
    )
    clock = Stopwatch()
    with clock("total"), workspace() as con, tempfile.TemporaryDirectory(prefix="enc-") as scratch:
        with clock("stage"):
            stage = stage_source(con, source)
            known = feature_table(head, store, create=cache) if store else None
            work = find_missing(stage, known.shards if known else [])
        tables = [known] if known else []
        if work.missing:
            # All tables are read alike: new rows get whatever parts the known ones have.
            spec = known.spec if known else head.spec
            target = known if cache and known else FeatureTable.create(Path(scratch) / "features", spec)
            with clock("load"):
                encoder = (load or load_encoder_of)(spec)
            encode_missing(stage, work, target, encoder, progress=progress, clock=clock)
            if target is not known:
                tables.append(target)
        with clock("score"):
            scored, counts = _write_scored(input, output, schema, added, head, stage, tables)
        rejects = stage.reasons()
    return ScoreSummary(
        rows=stage.rows,
        scored=scored,
        rejected=stage.rows - scored,
        rejects=rejects,
        cached=work.distinct - work.missing,
        encoded=work.encoded,
        predictions=counts,
        seconds=clock.rounded(),
        output=str(output),
    )


def feature_table(head: Head, store: Store | str | Path, *, create: bool) -> FeatureTable | None:
    """The store's feature set with the head's setting, or one that has its parts among others.

    The one of the recorded name comes first, then one of exactly the head's setting.

    With ``create`` it is made where the store has none, else the answer is None. Raises SpecError
    where the recorded name now holds another setting, naming the fields.
    """
    try:
        names = Store(store).feature_sets()
    except StoreError:
        if not create and Path(store).exists():
            raise
        names = []
    tables = [Store(store).open(name) for name in sorted(names, key=lambda n: n != head.feature_set)]
    fitting = [table for table in tables if table.spec.covers(head.spec)]
    for table in fitting:
        if table.name == head.feature_set or table.spec.digest == head.spec.digest:
            return table
    if fitting:
        return fitting[0]
    if tables and tables[0].name == head.feature_set:
        differences = "; ".join(tables[0].spec.differences(head.spec))
        raise SpecError(
            f"feature set '{head.feature_set}' in '{store}' is not of the setting the head was trained "
            f"on ({differences})"
        )
    return Store(store).create(head.feature_set, head.spec) if create else None


def predict_texts(
    head: Head, texts: Sequence[str], encoder: Encoder, pairs: Sequence[str] | None = None
) -> list[Prediction]:
    """What the head makes of each text (or pair); encodes every time."""
    head.require(encoder.spec)
    outputs = head.outputs(encode_texts(encoder, texts, pairs))
    shares: list[dict[Any, float]] = [{} for _ in outputs]
    if head.task.has_classes:
        shares = [
            dict(sorted(zip(head.labels.values, row, strict=True), key=lambda p: -p[1]))
            for row in outputs.tolist()
        ]
    return [
        Prediction(value, proba)
        for value, proba in zip(head.decided(outputs).to_pylist(), shares, strict=True)
    ]


def _added_fields(head: Head, prefix: str, proba: bool) -> list[pa.Field]:
    if proba and not head.task.has_classes:
        raise HeadError("a regression has no probabilities; leave out --proba")
    answer, several = (
        head.decided(np.zeros((0, len(head.labels) or 1), np.float32)).type,
        head.task is MULTI_LABEL,
    )
    fields = [pa.field(f"{prefix}prediction", answer)]
    if head.task.has_classes:
        fields.append(pa.field(f"{prefix}score", pa.list_(pa.float32()) if several else pa.float32()))
    if proba:
        fields += [pa.field(f"{prefix}proba_{label}", pa.float32()) for label in head.labels.values]
    return fields


def _input_schema(input: Path, added: list[pa.Field]) -> pa.Schema:
    if not input.is_file():
        raise SourceError(f"no file '{input}'")
    try:
        schema = pq.read_schema(input)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"'{input}' is not a Parquet file; DuckDB makes one: COPY (FROM read_csv('{input}')) TO "
            "'input.parquet'"
        ) from error
    taken = [field.name for field in added if field.name in schema.names]
    if taken:
        raise SourceError(
            f"'{input}' already has a column '{taken[0]}'; pass --column-prefix for other names"
        )
    for field in added:
        schema = schema.append(field)
    return schema


def _write_scored(
    input: Path,
    output: Path,
    schema: pa.Schema,
    added: list[pa.Field],
    head: Head,
    stage: Stage,
    tables: list[FeatureTable],
) -> tuple[int, dict[str, int]]:
    """Returns the number of scored rows, and rows by predicted label."""
    shards, spec = (
        [shard for table in tables for shard in table.shards],
        tables[0].spec if tables else head.spec,
    )
    features = MappedFeatures(shards, spec, head.spec)
    scored, counts = 0, np.zeros(len(head.labels), np.int64)
    batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // spec.row_bytes))
    with (
        replaced_file(output) as part,
        pq.ParquetWriter(part, schema, compression="zstd") as writer,
        stage.con.cursor() as cursor,
    ):
        locations = _in_step(cursor.sql(plan.located_sql(stage.name, shards)).to_arrow_reader(batch_rows))
        next(locations)
        for batch in pq.ParquetFile(input).iter_batches(batch_size=batch_rows):
            column = locations.send(batch.num_rows)
            usable = np.asarray(column.is_valid())
            outputs = head.outputs(features.take(column.drop_null().to_numpy()))
            scored += len(outputs)
            counts += _counts(head, outputs)
            columns = [_spread(values, usable) for values in _columns(head, outputs, len(added))]
            writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema))
    return scored, dict(zip(map(str, head.labels.values), counts.tolist(), strict=True))


def _columns(head: Head, outputs: np.ndarray, wanted: int) -> list[pa.Array]:
    """Prediction, score and probabilities of outputs, as many of these columns as are wanted."""
    predictions = head.decided(outputs)
    if head.task is MULTI_LABEL:
        chosen = head.task.decide(outputs) > 0
        score = pa.ListArray.from_arrays(predictions.offsets, pa.array(outputs[chosen]))
    else:
        score = pa.array(outputs.max(1, initial=0))
    return [predictions, score, *(pa.array(column) for column in outputs.T)][:wanted]


def _counts(head: Head, outputs: np.ndarray) -> np.ndarray:
    """Rows by predicted label, int64 [labels]."""
    decided = head.task.decide(outputs)
    if head.task is MULTI_LABEL:
        return decided.sum(0, dtype=np.float64).astype(np.int64)
    return (
        np.bincount(decided, minlength=len(head.labels)) if head.task.has_classes else np.zeros(0, np.int64)
    )


def _in_step(reader: pa.RecordBatchReader) -> Generator[pa.Array, int, None]:
    """A generator that is sent a number of rows and yields that many of the reader's first column."""
    held = pa.array([], pa.int64())
    rows = yield held
    while True:
        while len(held) < rows:
            held = pa.concat_arrays([held, reader.read_next_batch().column(0)])
        taken, held = held[:rows], held[rows:]
        rows = yield taken


def _spread(values: pa.Array, usable: np.ndarray) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    return values.take(pa.array(np.cumsum(usable) - 1, mask=~usable))
