"""Writing rows: row groups of a size that readers like, whatever the size of the batches."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 1 << 17
ROW_GROUP_BYTES = 64 << 20  # in memory; a row group of long texts has fewer rows


class RowGroupWriter:
    """A Parquet file that is written a row group at a time; a context manager that closes it."""

    def __init__(
        self,
        file: Path | pa.NativeFile,
        schema: pa.Schema,
        compression: str,
        added: list[pa.Field],
        plain: Collection[str] = (),
    ):
        """``added`` are the fields that are not the input's; their floating-point numbers get no dictionaries
        and, in lists of a fixed size, no statistics, which nobody would ask for and which cost much time.
        The columns in ``plain`` get no dictionaries either.
        """
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._schema = schema
        numbers = {one.name for one in added if _holds_floats(one.type)}
        names = [name for name in schema.names if name not in numbers]
        vectors = any(pa.types.is_fixed_size_list(one.type) for one in added)
        options: dict[str, Any] = {
            "use_dictionary": [name for name in names if name not in plain],
            "write_statistics": names if vectors else True,
        }
        self._writer = pq.ParquetWriter(file, schema, compression=compression, **options)

    def __enter__(self) -> "RowGroupWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()
        self.close()

    def write(self, batch: pa.RecordBatch) -> bool:
        """Add some rows; returns whether a row group ends with them."""
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
            self.flush()
            return True
        return False

    def flush(self) -> None:
        """Make a row group of the rows that are held."""
        if self._rows:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table, row_group_size=self._rows)
        self._held, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        """Write the footer; rows that are held are not in the file."""
        self._writer.close()


def _holds_floats(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return pa.types.is_floating(kind) or (is_list and pa.types.is_floating(kind.value_type))
