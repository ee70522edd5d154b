"""The rows that are scored, with all their columns, in the order in which they are staged."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ...store import Source, SourceError
from ...store.copying import write_parquet
from ...store.source import require_column
from ...store.stage import Stage
from .jobs import QUERY, Job
from .parquet_input import ParquetInput, changed, file_facts


class Rows:
    """All columns of a source's rows, file by file, in the order in which they are staged."""

    def __init__(self, source: Source, files: Mapping[str, ParquetInput]):
        """``files`` holds what is read of each file of the source, by its name."""
        self.source = source
        """What is to be staged."""
        self._files = files
        self._originals = {name: file_facts(os.stat(name)) for name in files if name != QUERY}

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, source: Source, scratch: Path) -> "Rows":
        """The rows of a source; what is not Parquet is made Parquet in ``scratch``.

        Raises SourceError for what cannot be read.
        """
        if source.query:
            path = scratch / "query.parquet"
            write_parquet(con, source, QUERY, path)
            staged = replace(source, query=None, paths=(str(path),), format="parquet")
            return cls(staged, {QUERY: ParquetInput(str(path))})
        files: dict[str, ParquetInput] = {}
        for number, file in enumerate(source.files()):
            if source.format_of(file) != "parquet":
                path = scratch / f"rows-{number}.parquet"
                write_parquet(con, source, file, path)
                files[file] = ParquetInput(str(path))
            else:
                files[file] = ParquetInput(file)
        return cls(source, files)

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
        if columns is not None:
            for name in columns:
                require_column(name, schema.names, first, "--columns")
            schema = pa.schema([schema.field(name) for name in columns], schema.metadata)
        seen = set(schema.names)
        if len(seen) < len(schema.names):
            raise SourceError(f"'{first}' has a column twice; pass --columns with those to keep")
        for one in added:
            if one.name in seen:
                raise SourceError(
                    f"'{first}' already has a column '{one.name}'; pass --column-prefix for other names"
                )
            seen.add(one.name)
            schema = schema.append(one)
        return schema

    def compression(self, job: Job) -> str:
        """The codec of the output: that of the first input."""
        return self._files[job.inputs[0]].compression

    def batches(
        self, job: Job, stage: Stage, rows: int, columns: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """Batches of at most ``rows`` rows with these columns, and the rows' ids int64 in the stage.

        Rows for which the source's condition does not hold are left out.
        """
        numbers = {name: number for number, name in enumerate(self._files)}
        for file in job.inputs:
            first = stage.first_ids[numbers[file]]
            staged = stage.kept_ids() if self.source.where else None
            for batch in self._files[file].batches(rows, columns):
                ids = np.arange(first, first + batch.num_rows)
                first += batch.num_rows
                if staged is None:
                    yield batch, ids
                else:
                    kept = staged[ids]
                    yield batch.filter(pa.array(kept)), ids[kept]

    def require_unchanged(self, job: Job) -> None:
        """Raise SourceError if an input file was written to, or replaced, since it was opened."""
        for file in job.inputs:
            self._files[file].require_unchanged()
            if file in self._originals and self._originals[file] != _facts_of(file):
                raise changed(file)


def _facts_of(file: str) -> tuple[int, int, int, int] | None:
    try:
        return file_facts(os.stat(file))
    except OSError:
        return None
