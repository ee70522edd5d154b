"""A Parquet file that is scored, opened once."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import SourceError
from ...store.file_kind import require_parquet
from ...store.nearest import did_you_mean_path
from ...store.page_sizes import UNREADABLE

Facts = tuple[int, int, int, int]
"""What changes when a file is replaced or written to: device, inode, size, and time of change in ns."""
_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # RLE and BIT_PACKED are those of the nulls
_BUFFER_BYTES = 1 << 20  # of a column that is read at a time: a row group need not fit into memory


class ParquetInput:
    """A Parquet file, opened once: what is read is what was there, whatever happens to its name."""

    def __init__(self, path: str, number: str | None = None):
        """``number`` is a column with the rows' numbers, which is not the user's; else they count from 1.

        Raises SourceError for what is no Parquet file.
        """
        self.path, self._number = path, number
        if not Path(path).is_file():
            raise SourceError(f"no file '{path}'{did_you_mean_path(path)}")
        require_parquet(path)
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._parquet = pq.ParquetFile(self._file, buffer_size=_BUFFER_BYTES)
        except UNREADABLE as error:
            self._file.close()
            raise SourceError(
                f"{path} cannot be read as Parquet: its footer is damaged; copy or write it again"
            ) from error
        self._before = _facts(os.fstat(self._file.fileno()))

    @property
    def schema(self) -> pa.Schema:
        """The user's columns, types and metadata."""
        schema = self._parquet.schema_arrow
        if self._number is None:
            return schema
        return schema.remove(schema.get_field_index(self._number))

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return self._parquet.metadata.num_rows

    @property
    def compression(self) -> str:
        """The codec of the first column, as a ParquetWriter takes it."""
        metadata = self._parquet.metadata
        if not metadata.num_row_groups or not metadata.num_columns:
            return "zstd"
        codec = metadata.row_group(0).column(0).compression.lower()
        return "none" if codec == "uncompressed" else codec

    @property
    def plain_columns(self) -> set[str]:
        """The columns that hold one value a row and have no dictionary in the first row group."""
        metadata = self._parquet.metadata
        if not metadata.num_row_groups:
            return set()
        group = metadata.row_group(0)
        chunks = [group.column(number) for number in range(metadata.num_columns)]
        return {one.path_in_schema for one in chunks if set(one.encodings) <= _PLAIN}

    def batches(self, rows: int, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """These columns of all rows in order, at most ``rows`` at a time, and the rows' numbers int64."""
        read = [*columns, self._number] if self._number else list(columns)
        start = 1
        for batch in self._read(rows, read):
            numbers = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            if self._number:
                numbers = batch.column(self._number).to_numpy()
            yield batch.select(list(columns)), numbers

    def _read(self, rows: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._parquet.iter_batches(batch_size=rows, columns=columns)
        except UNREADABLE as error:
            self.require_unchanged()
            raise SourceError(f"'{self.path}' cannot be read: {str(error).partition(chr(10))[0]}") from error

    def require_unchanged(self) -> None:
        """Raise SourceError if the file was written to, or another took its name, since it was opened."""
        if not self._before == _facts(os.fstat(self._file.fileno())) == facts_of(self.path):
            raise changed(self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def changed(file: str) -> SourceError:
    """The error for a file that is no longer what it was when it was first read."""
    return SourceError(f"'{file}' changed while it was read; run this again when it is complete")


def facts_of(file: str) -> Facts | None:
    """The facts of the file that now has this name; None where there is none."""
    try:
        return _facts(os.stat(file))
    except OSError:
        return None


def _facts(status: os.stat_result) -> Facts:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
