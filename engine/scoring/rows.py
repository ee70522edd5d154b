"""The rows that are scored, with all their columns, in the order in which they are staged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...store import SourceError
from ...store.copying import write_rows
from ...store.nearest import did_you_mean
from ...store.stage import Stage
from .jobs import Job
from .parquet_input import Facts, ParquetInput, changed, facts_of


class Rows:
    """All columns of a stage's rows, file by file, in the order in which they are staged."""

    def __init__(self, stage: Stage, files: Mapping[str, ParquetInput], facts: Mapping[str, Facts | None]):
        """``files`` holds what is read of each file of the stage, by its name, in their order; ``facts`` what
        the files were when they were read first.
        """
        self._stage, self._files, self._facts = stage, files, facts
        self._kept = stage.kept_ids() if stage.source.where else None

    @classmethod
    def of(
        cls,
        stage: Stage,
        opened: Mapping[str, ParquetInput],
        facts: Mapping[str, Facts | None],
        scratch: Path,
    ) -> "Rows":
        """The rows of a stage; ``opened`` are its Parquet files, and the others are made Parquet in
        ``scratch``.
        """
        files = {}
        for number, scan in enumerate(stage.scans):
            if scan.file in opened:
                files[scan.file] = opened[scan.file]
            else:
                path = scratch / f"rows-{number}.parquet"
                column = write_rows(stage, number, path)
                files[scan.file] = ParquetInput(str(path), column)
        return cls(stage, files, facts)

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._files.values():
            one.close()

    def schema(self, job: Job, columns: Sequence[str] | None, added: Sequence[pa.Field]) -> pa.Schema:
        """The output's schema: the input's columns (or those named) and metadata, then ``added``.

        Raises SourceError where a column is not there, where inputs of one output differ, or where a name
        would be there twice.
        """
        first, *others = job.inputs
        schema = self._files[first].schema
        for other in others:
            if not self._files[other].schema.equals(schema):
                raise SourceError(
                    f"'{first}' and '{other}' have different columns, and would go to one file; "
                    "pass a folder as OUTPUT, for one file each"
                )
        names = output_names(schema.names, columns, added, first)
        kept = [schema.field(name) for name in names[: len(names) - len(added)]]
        return pa.schema([*kept, *added], schema.metadata)

    def compression(self, job: Job) -> str:
        """The codec of the output: that of the first input."""
        return self._files[job.inputs[0]].compression

    def unique(self, job: Job) -> set[str]:
        """Columns of the first input that are stored without a dictionary, and so need none in the output."""
        return self._files[job.inputs[0]].plain_columns

    def batches(
        self, job: Job, rows: int, columns: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """Batches of at most ``rows`` rows with these columns, and the rows' ids int64 in the stage.

        Rows for which the source's condition does not hold are left out.
        """
        first_ids = dict(zip(self._files, self._stage.first_ids, strict=True))
        for file in job.inputs:
            for batch, numbers in self._files[file].batches(rows, columns):
                ids = first_ids[file] + numbers - 1
                if self._kept is None:
                    yield batch, ids
                else:
                    kept = np.flatnonzero(ids < len(self._kept))
                    kept = kept[self._kept[ids[kept]]]
                    yield batch.take(pa.array(kept)), ids[kept]

    def require_unchanged(self, job: Job) -> None:
        """Raise SourceError if an input file was written to, or replaced, since it was read first."""
        for file in job.inputs:
            self._files[file].require_unchanged()
            if facts_of(file) != self._facts[file]:
                raise changed(file)


def output_names(
    names: Sequence[str], columns: Sequence[str] | None, added: Sequence[pa.Field], title: str
) -> list[str]:
    """The output's columns, of an input with these names: those in ``columns``, or all, then those added.

    Raises SourceError for a column that is not there, or a name that would be there twice.
    """
    chosen = list(names if columns is None else columns)
    for name in chosen:
        if name not in names:
            raise SourceError(
                f"column '{name}' is not in {title} (it has: {', '.join(names)}); mend --columns"
                f"{did_you_mean(name, names)}"
            )
    for name in [*chosen, *(one.name for one in added)]:
        if [*chosen, *(one.name for one in added)].count(name) > 1:
            raise SourceError(
                f"'{title}' already has a column '{name}'; pass --column-prefix for other names, or --columns"
            )
    return [*chosen, *(one.name for one in added)]
