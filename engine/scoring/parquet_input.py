"""A Parquet file that is scored, opened once."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ...store import SourceError

_BUFFER_BYTES = 1 << 20  # of a column that is read at a time: a row group need not fit into memory


class ParquetInput:
    """A Parquet file, opened once: what is read is what was there, whatever happens to its name."""

    def __init__(self, path: str):
        """Raises SourceError for what is no Parquet file."""
        self.path = path
        if not Path(path).is_file():
            raise SourceError(f"no file '{path}'")
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._parquet = pq.ParquetFile(self._file, buffer_size=_BUFFER_BYTES)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise SourceError(
                f"'{path}' is not a Parquet file; name its format with --format, or its ending"
            ) from error
        self._before = file_facts(os.fstat(self._file.fileno()))

    @property
    def schema(self) -> pa.Schema:
        """Columns, types and metadata."""
        return self._parquet.schema_arrow

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

    def batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most ``rows`` at a time."""
        if columns:
            yield from self._parquet.iter_batches(batch_size=rows, columns=list(columns))
            return
        for start in range(0, self.rows, rows):
            size = min(rows, self.rows - start)
            yield pa.RecordBatch.from_struct_array(pa.array([{}] * size, pa.struct([])))

    def require_unchanged(self) -> None:
        """Raise SourceError if the file was written to, or another took its name, since it was opened."""
        try:
            now = {file_facts(os.fstat(self._file.fileno())), file_facts(os.stat(self.path))}
        except OSError:
            now = set()
        if now != {self._before}:
            raise changed(self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def changed(file: str) -> SourceError:
    """The error for a file that is no longer what it was when it was first read."""
    return SourceError(f"'{file}' changed while it was scored; score it again when it is complete")


def file_facts(status: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file is replaced or written to: device, inode, size, and time of change in ns."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
