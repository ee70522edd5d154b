"""The files of a plan, as they are written one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pyarrow as pa

from ...store import SourceError
from ...store.files import replaced_file
from ...store.lookup import NOWHERE
from ...store.mapped import MappedFeatures
from ...store.prefetch import prefetched
from ...store.progress import listener
from ...store.stage import Stage
from ..scoring.jobs import Job
from ..scoring.output import RowGroupWriter
from ..scoring.rows import Rows
from .formats import TABLES, rows_file_of
from .plan import Plan
from .writers import ArrowWriter, NpzWriter, plain_schema, write_npy

BATCH_ROWS = 16384
BATCH_BYTES = 16 << 20  # of features at a time: a few batches are on their way between threads


class Outputs:
    """Writes the files of a plan, and counts their rows."""

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
        self._tell = listener()

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
            schema = self._read.schema(job, self._plan.columns, added)
            compression = self._read.compression(job)
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
                self._tell("gathering", self.rows, self._stage.rows)
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
            self._tell("gathering", self.rows, self._stage.rows)
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
