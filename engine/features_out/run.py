"""A source in, the features of its rows out, in the order of the rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, FeatureTable, Source, SourceError
from ...store.copying import write_query
from ...store.duck import workspace
from ...store.files import replaced_file
from ...store.lookup import NOWHERE, look_up
from ...store.mapped import MappedFeatures
from ...store.prefetch import prefetched
from ...store.required import require_features
from ...store.scratch import scratch_folder
from ...store.source import pick_columns
from ...store.stage import Stage, source_columns, stage_source
from ..encode.build import Progress, Stopwatch, encode_missing, find_missing
from ..encode.encoder import Encoder
from ..scoring.jobs import QUERY, Job, jobs_of, rejects_file_of, require_output, with_files_of_folders
from ..scoring.output import RowGroupWriter
from ..scoring.parquet_input import ParquetInput, facts_of
from ..scoring.rows import Rows, output_names
from .form import Form, require_columns
from .formats import TABLES, format_of, rows_file_of
from .writers import ArrowWriter, NpzWriter, plain_schema, write_npy

BATCH_ROWS = 16384
BATCH_BYTES = 16 << 20  # of features at a time: a few batches are on their way between threads


@dataclass(frozen=True)
class FeaturesSummary:
    """What a run of :func:`write_features` did."""

    rows: int
    """Rows read; lines that do not parse are not among them."""
    with_features: int
    """Rows among them that have features: the others are null, or in files of arrays left out."""
    rejected: int
    """Rows without a usable text, and lines that do not parse."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    rejects_file: str | None
    """Parquet file of source, row and reason of each."""
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    shape: list[int]
    """Of a row's features."""
    dtype: str
    feature_set: str
    seconds: dict[str, float]
    outputs: list[str]
    rows_file: str | None
    """Of a .npy file: the file with the number of the row of each of its rows."""


@dataclass(frozen=True)
class Plan:
    """What is to be written, once all is checked that can be told before anything is read."""

    source: Source
    jobs: list[Job]
    format: str
    form: Form
    columns: list[str] | None
    """Columns of the input that are kept; None stands for all."""

    @property
    def reads_rows(self) -> bool:
        """Whether other columns of the input than its texts are read."""
        return self.format in TABLES and self.columns != []


def plan_output(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    form: Form,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Plan:
    """The plan of an output, all mistakes told that show in its files' names and columns.

    Raises SourceError for a file, column or format that cannot be, and for outputs that would do harm.
    """
    given = source if isinstance(source, Source) else Source(source)
    source, format = with_files_of_folders(given), format_of(output)
    plan = Plan(
        source,
        jobs_of(source, output, overwrite=overwrite),
        format,
        form,
        None if columns is None else list(columns),
    )
    require_output(rejects_file_of(output), overwrite=overwrite)
    if format not in TABLES:
        require_columns(form, format, plan.columns)
    if format == "npy":
        require_output(rows_file_of(Path(output)), source.files(), overwrite=overwrite)
    with workspace() as con:
        for job in plan.jobs:
            one = source if source.query else replace(source, paths=(job.inputs[0],))
            names = list(source_columns(con, one))
            pick_columns(one, names, job.inputs[0])
            if plan.format in TABLES:
                output_names(names, plan.columns, form.fields(), job.inputs[0])
    return plan


def write_features(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    table: FeatureTable | str | Path,
    *,
    use: FeatureSpec | str | None = None,
    dtype: str | None = None,
    layout: str = "list",
    columns: Sequence[str] | None = None,
    column_prefix: str = "",
    overwrite: bool = False,
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> FeaturesSummary:
    """Write the features of a source's rows, in the order of the rows, to a file.

    ``source`` is a file, several, or a Source (any format, a condition, a query). The ending of ``output``
    decides. ``.parquet`` and ``.arrow`` hold a row for each row of the source: the source's ``columns``
    (all by default, none for an empty list) and ``features``, a list of fixed size, flattened where a row's
    features are those of tokens; the field's metadata tells the shape. Rows without a usable text are null
    there. ``.npy`` and ``.npz`` hold features [rows, *shape] alone, of the rows that have a usable text;
    the numbers of the rows, from 0, are in ``.rows.npy`` beside the file, or the array ``rows`` in it. A
    folder gets a Parquet file for each file of the source.

    ``use`` are parts of the features, ``dtype`` float16 or float32 (as stored by default), and with
    ``layout="columns"`` each number of a row has a column of its own. Texts that the table does not hold are
    an error (MissingFeatures), or, with ``load``, encoded by the encoder that ``load`` makes for the table's
    setting, and added to the table. An output appears whole or not at all. Memory grows by about 21 bytes a
    row.
    """
    clock = Stopwatch()
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        table = FeatureTable.of(table)
        form = Form.of(table.spec, use=use, dtype=dtype, layout=layout, column_prefix=column_prefix)
        plan = plan_output(source, output, form, columns=columns, overwrite=overwrite)
        con = scope.enter_context(workspace())
        scratch = Path(scope.enter_context(scratch_folder()))
        asked = plan.source
        if asked.query:
            with clock("stage"):
                plan = _with_query_as_file(con, plan, scratch)
        opened, facts = {}, {file: facts_of(file) for file in plan.source.files()}
        if plan.reads_rows:
            for file in plan.source.files():
                if plan.source.format_of(file) == "parquet":
                    opened[file] = ParquetInput(file)
                    scope.callback(opened[file].close)  # also where the rows are never read
        with clock("stage"):
            stage = stage_source(con, plan.source, keep_text=False)
            found = look_up(stage, table.shards)
        if asked.query:
            stage.name_file(0, QUERY)
        cached, encoded, locations = found.distinct - found.missing, 0, found.locations
        if found.missing:
            if load is None:
                require_features(table, [(replace(stage, source=asked), found)])
            else:
                encoded = _encode(con, plan.source, table, load, progress, clock)
                with clock("stage"):
                    locations = look_up(stage, table.shards).locations
        rows = None
        if plan.reads_rows:
            with clock("stage"):
                rows = scope.enter_context(Rows.of(stage, opened, facts, scratch))
        written = _Written(plan, stage, locations, MappedFeatures(table.shards, table.spec, form.spec), rows)
        with clock("write"):
            for job in plan.jobs:
                written.write(job)
        rejects = rejects_file_of(output)
        rejects_file = stage.write_rejects(rejects)
        if rejects_file is None:
            rejects.unlink(missing_ok=True)  # of an earlier run
        reasons = stage.reasons()
    return FeaturesSummary(
        rows=written.rows,
        with_features=written.with_features,
        rejected=stage.rejected,
        rejects=reasons,
        rejects_file=str(rejects_file) if rejects_file else None,
        cached=cached,
        encoded=encoded,
        shape=list(form.spec.shape),
        dtype=form.dtype,
        feature_set=table.name,
        seconds=clock.rounded(),
        outputs=[str(job.output) for job in plan.jobs],
        rows_file=str(rows_file_of(Path(output))) if plan.format == "npy" else None,
    )


def _with_query_as_file(con: duckdb.DuckDBPyConnection, plan: Plan, scratch: Path) -> Plan:
    """A query's rows as a Parquet file: a query may give other rows, or another order, the next time."""
    path = scratch / "the query.parquet"
    write_query(con, plan.source, path)
    rows = replace(plan.source, query=None, paths=(str(path),), format="parquet")
    return replace(plan, source=rows, jobs=[replace(job, inputs=(str(path),)) for job in plan.jobs])


def _encode(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    table: FeatureTable,
    load: Callable[[FeatureSpec], Encoder],
    progress: Progress | None,
    clock: Stopwatch,
) -> int:
    """Add to a table what it lacks of a source's texts; returns how many these are."""
    with clock("stage"):
        texts = stage_source(con, source, "texts", keep_text=True)
        work = find_missing(texts, table.shards)
    with clock("load"):
        encoder = load(table.spec)
    encode_missing(texts, work, table, encoder, progress=progress, clock=clock)
    table.refresh()
    return work.encoded


class _Written:
    """The files of a plan, as they are written one after the other."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        locations: np.ndarray,
        features: MappedFeatures,
        rows: Rows | None,
    ):
        """``locations`` are those of the stage's rows by id; ``rows`` is what is read beside the texts."""
        self._plan, self._stage, self._locations, self._features = plan, stage, locations, features
        self._read = rows
        self._kept = stage.kept_ids() if stage.source.where else None
        self._batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // plan.form.row_bytes))
        self.rows = self.with_features = 0

    def write(self, job: Job) -> None:
        """Write the output of a job."""
        if self._plan.format in TABLES:
            self._write_table(job)
        else:
            self._write_arrays(job)

    def _write_table(self, job: Job) -> None:
        added, is_arrow = self._plan.form.fields(), self._plan.format == "arrow"
        schema, compression = pa.schema(added), "none"
        if self._read is not None:
            schema, compression = (
                self._read.schema(job, self._plan.columns, added),
                self._read.compression(job),
            )
        names = schema.names[: len(schema.names) - len(added)]
        if is_arrow:
            schema = plain_schema(schema)

        def batches() -> Iterator[pa.RecordBatch]:
            with closing(prefetched(self._batches(job, names), "enc-read")) as read:
                for batch, ids in read:
                    locations = self._locations[ids]
                    columns = self._plan.form.columns(self._features, locations)
                    self.with_features += int((locations != NOWHERE).sum())
                    kept = [] if batch is None else _cast(batch, schema)
                    yield pa.RecordBatch.from_arrays([*kept, *columns], schema=schema)

        with (
            replaced_file(job.output) as part,
            ArrowWriter(part, schema)
            if is_arrow
            else RowGroupWriter(part, schema, compression, added) as writer,
            # One thread reads, another one gathers features, and this one writes.
            closing(prefetched(batches(), "enc-gather")) as made,
        ):
            for batch in made:
                writer.write(batch)
                self.rows += batch.num_rows
            if self._read is not None:
                self._read.require_unchanged(job)

    def _batches(self, job: Job, names: Sequence[str]) -> Iterator[tuple[pa.RecordBatch | None, np.ndarray]]:
        """Columns of a job's rows, None where none are read, and the rows' ids int64 in the stage."""
        if self._read is not None:
            yield from self._read.batches(job, self._batch_rows, names)
            return
        for ids in self._ids(job):
            yield None, ids

    def _ids(self, job: Job) -> Iterator[np.ndarray]:
        """Ids int64 of a job's rows, in the order of its files."""
        firsts = [*self._stage.first_ids, self._stage.ids]
        for number, scan in enumerate(self._stage.scans):
            if scan.file not in job.inputs and len(self._plan.jobs) > 1:
                continue
            for start in range(firsts[number], firsts[number + 1], self._batch_rows):
                ids = np.arange(start, min(start + self._batch_rows, firsts[number + 1]))
                yield ids if self._kept is None else ids[self._kept[ids]]

    def _write_arrays(self, job: Job) -> None:
        form = self._plan.form
        usable = int((self._locations != NOWHERE).sum())
        shape = (usable, *form.spec.shape)
        if self._plan.format == "npy":
            rows_file = rows_file_of(job.output)
            with replaced_file(rows_file) as rows_part, replaced_file(job.output) as part:
                with open(part, "wb") as file, closing(prefetched(self._values(job), "enc-gather")) as values:
                    write_npy(file, shape, form.dtype, values)
                with open(rows_part, "wb") as file:
                    write_npy(file, (usable,), "int64", self._numbers(job))
        else:
            with replaced_file(job.output) as part, NpzWriter(part) as writer:
                with closing(prefetched(self._values(job), "enc-gather")) as values:
                    writer.write("features", shape, form.dtype, values)
                writer.write("rows", (usable,), "int64", self._numbers(job))
        self.with_features += usable

    def _values(self, job: Job) -> Iterator[np.ndarray]:
        """Features of the rows that have some."""
        for ids in self._ids(job):
            locations = self._locations[ids]
            self.rows += len(ids)
            yield self._plan.form.values(self._features, locations[locations != NOWHERE])

    def _numbers(self, job: Job) -> Iterator[np.ndarray]:
        """Numbers, from 0, of the rows that have features."""
        rows = 0
        for ids in self._ids(job):
            yield rows + np.flatnonzero(self._locations[ids] != NOWHERE)
            rows += len(ids)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> list[pa.Array]:
    """The batch's columns in the types of a schema that begins with them."""
    kinds = schema.types[: batch.num_columns]
    try:
        return [
            column if column.type == kind else column.cast(kind)
            for column, kind in zip(batch.columns, kinds, strict=True)
        ]
    except pa.ArrowException as error:
        raise SourceError(
            f"the input's columns cannot be written so: {error}; choose some with --columns"
        ) from error
