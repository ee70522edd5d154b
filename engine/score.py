"""A Parquet file in, the same file with predictions out."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..store import FeatureTable, Source, SourceError, SpecError, StoreError, create_feature_set, open_feature_set, plan
from ..store.batches import MappedFeatures
from ..store.catalog import feature_set_names
from ..store.duck import workspace
from ..store.stage import Stage, stage_source
from .build import Progress, Stopwatch, encode_missing, find_missing
from .encoder import Encoder, encode_texts
from .load import load_encoder_of
from .model import Head

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
    """Rows by predicted label."""
    seconds: dict[str, float]
    output: str


def score_parquet(
    input: str | Path,
    output: str | Path,
    head: Head,
    store: str | Path,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    proba: bool = False,
    cache: bool = True,
    column_prefix: str = "",
    load: Callable[[Head], Encoder] | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Write ``input``'s columns with ``prediction`` and ``score`` (and ``proba_<label>``) to ``output``.

    Texts that the store knows are not encoded again; the others are encoded and, with ``cache``,
    added to it. Rows without a usable text get nulls. ``load`` makes the encoder, and is called only
    if there is something to encode. The output appears whole or not at all.
    """
    input, output = Path(input), Path(output)
    added = _added_fields(head, column_prefix, proba)
    schema = _input_schema(input, added)
    if output.resolve() == input.resolve():
        raise SourceError(f"'{output}' is the input itself; choose another output")
    source = Source(
        input, format="parquet", text_column=text_column or head.text_column, pair_column=pair_column or head.pair_column
    )
    clock = Stopwatch()
    with clock("total"), workspace() as con, tempfile.TemporaryDirectory(prefix="enc-") as scratch:
        with clock("stage"):
            stage = stage_source(con, source)
            known = feature_table(head, store, create=cache)
            work = find_missing(stage, known.shards if known else [])
        tables = [known] if known else []
        if work.missing:
            target = known if cache and known else FeatureTable.create(Path(scratch) / "features", head.spec)
            with clock("load"):
                encoder = (load or (lambda h: load_encoder_of(h.spec)))(head)
            encode_missing(stage, work, target, encoder, progress=progress, clock=clock)
            if target is not known:
                tables.append(target)
        with clock("score"):
            shards = [shard for table in tables for shard in table.shards]
            scored, counts = _write_scored(input, output, schema, added, head, stage, shards)
        rejects = stage.reasons()
    return ScoreSummary(
        rows=stage.rows,
        scored=scored,
        rejected=stage.rows - scored,
        rejects=rejects,
        cached=work.distinct - work.missing,
        encoded=work.encoded,
        predictions=dict(zip(map(str, head.labels.values), counts.tolist(), strict=True)),
        seconds=clock.rounded(),
        output=str(output),
    )


def feature_table(head: Head, store: str | Path, *, create: bool) -> FeatureTable | None:
    """The store's feature set with the head's setting: the one of the recorded name, or any other.

    With ``create`` it is made where the store has none, else the answer is None. Raises SpecError
    where the recorded name now holds another setting, naming the fields.
    """
    try:
        names = feature_set_names(store)
    except StoreError:
        if Path(store).exists() and any(Path(store).iterdir()):
            raise
        names = []
    tables = [open_feature_set(store, name) for name in sorted(names, key=lambda n: n != head.feature_set)]
    for table in tables:
        if table.spec.digest == head.spec.digest:
            return table
    if tables and tables[0].name == head.feature_set:
        differences = "; ".join(tables[0].spec.differences(head.spec))
        raise SpecError(
            f"feature set '{head.feature_set}' in '{store}' is not of the setting the head was trained on ({differences})"
        )
    return create_feature_set(store, head.feature_set, head.spec) if create else None


def predict_texts(
    head: Head, texts: Sequence[str], encoder: Encoder, pairs: Sequence[str] | None = None
) -> list[dict[int | bool | str, float]]:
    """Probability by label for each text (or pair), most probable first; encodes every time."""
    probabilities = head.predict_proba(encode_texts(encoder, texts, pairs))
    return [dict(sorted(zip(head.labels.values, row.tolist(), strict=True), key=lambda p: -p[1])) for row in probabilities]


def _added_fields(head: Head, prefix: str, proba: bool) -> list[pa.Field]:
    fields = [pa.field(f"{prefix}prediction", head.labels.arrow().type), pa.field(f"{prefix}score", pa.float32())]
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
            f"'{input}' is not a Parquet file; DuckDB makes one: COPY (FROM read_csv('{input}')) TO 'input.parquet'"
        ) from error
    taken = [field.name for field in added if field.name in schema.names]
    if taken:
        raise SourceError(f"'{input}' already has a column '{taken[0]}'; pass --column-prefix for other names")
    for field in added:
        schema = schema.append(field)
    return schema


def _write_scored(
    input: Path, output: Path, schema: pa.Schema, added: list[pa.Field], head: Head, stage: Stage, shards: list[str]
) -> tuple[int, np.ndarray]:
    """Returns the number of scored rows, and rows by class."""
    features = MappedFeatures(shards, head.spec)
    labels = head.labels.arrow()
    counts = np.zeros(len(labels), np.int64)
    batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // head.spec.row_bytes))
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer, stage.con.cursor() as cursor:
            locations = _in_step(cursor.sql(plan.located_sql(stage.name, shards)).to_arrow_reader(batch_rows))
            next(locations)
            for batch in pq.ParquetFile(input).iter_batches(batch_size=batch_rows):
                column = locations.send(batch.num_rows)
                usable = np.asarray(column.is_valid())
                probabilities = head.predict_proba(features.take(column.drop_null().to_numpy()))
                best = probabilities.argmax(1)
                counts += np.bincount(best, minlength=len(labels))
                columns = [
                    labels.take(_spread(best, usable, pa.int64())),
                    _spread(probabilities.max(1, initial=0), usable, pa.float32()),
                ]
                if len(added) > 2:
                    columns += [_spread(probabilities[:, c], usable, pa.float32()) for c in range(len(labels))]
                writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema))
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return int(counts.sum()), counts


def _in_step(reader: pa.RecordBatchReader) -> Generator[pa.Array, int, None]:
    """A generator that is sent a number of rows and yields that many of the reader's first column."""
    held = pa.array([], pa.int64())
    rows = yield held
    while True:
        while len(held) < rows:
            held = pa.concat_arrays([held, reader.read_next_batch().column(0)])
        taken, held = held[:rows], held[rows:]
        rows = yield taken


def _spread(values: np.ndarray, usable: np.ndarray, type: pa.DataType) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    full = np.zeros(len(usable), values.dtype)
    full[usable] = values
    return pa.array(full, type, mask=~usable)
