"""One Parquet file of features: written so that the vectors can be used without decoding.

The ``features`` column is required (no definition levels), PLAIN, uncompressed, and one data page
per row group. The values of a row group are then one contiguous block at the end of its column
chunk, and a memory map at that offset is the array. Any Parquet reader opens the same file.
Source: https://parquet.apache.org/docs/file-format/data-pages/
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import StoreError
from .spec import FeatureSpec

KEY_BYTES = 32
ROW_GROUP_BYTES = 8 << 20  # small enough to buffer while writing, large enough to read as one block
ROW_GROUP_ROWS = 16384  # of narrow features, whose keys would weigh more
_ONE_PAGE = (1 << 31) - 1  # page limits that no row group reaches


def shard_schema(spec: FeatureSpec) -> pa.Schema:
    """Columns of a shard; shape and dtype of the features stand in the schema's metadata."""
    return pa.schema(
        [
            pa.field("key", pa.binary(KEY_BYTES), nullable=False),
            pa.field("n_tokens", pa.int32(), nullable=False),
            pa.field("truncated", pa.bool_(), nullable=False),
            pa.field("features", pa.binary(spec.row_bytes), nullable=False),
        ],
        metadata={"enc.shape": ",".join(map(str, spec.shape)), "enc.dtype": spec.dtype, "enc.spec": spec.digest},
    )


class ShardWriter:
    """Writes one shard row group by row group; at most one row group is held in memory."""

    def __init__(self, path: Path, spec: FeatureSpec):
        self.path, self.rows, self.bytes = path, 0, 0
        self._spec, self._schema = spec, shard_schema(spec)
        self._row_group_rows = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // spec.row_bytes))
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="none",
            use_dictionary=False,
            write_statistics=False,  # keys are uniform and features are opaque: neither can be pruned by range
            data_page_size=_ONE_PAGE,
            max_rows_per_page=_ONE_PAGE,
            write_page_checksum=True,
        )

    def write(self, keys: pa.Array, n_tokens: np.ndarray, truncated: np.ndarray, features: np.ndarray) -> None:
        """Append rows: keys of 32 bytes, n_tokens int32 [n], truncated bool [n], features [n, *shape]."""
        rows = len(keys)
        if features.shape != (rows, *self._spec.shape):
            raise ValueError(f"features have shape {features.shape}, the setting wants {(rows, *self._spec.shape)}")
        block = np.ascontiguousarray(features, dtype=self._spec.numpy_dtype)
        columns = [
            keys.cast(pa.binary(KEY_BYTES)),
            pa.array(n_tokens, pa.int32()),
            pa.array(truncated, pa.bool_()),
            pa.FixedSizeBinaryArray.from_buffers(pa.binary(self._spec.row_bytes), rows, [None, pa.py_buffer(block)]),
        ]
        self._pending.append(pa.Table.from_arrays(columns, schema=self._schema))
        self._pending_rows += rows
        self.rows += rows
        self.bytes += rows * (KEY_BYTES + 5 + self._spec.row_bytes)
        if self._pending_rows >= self._row_group_rows:
            self._flush(whole_groups=True)

    def _flush(self, *, whole_groups: bool) -> None:
        table = pa.concat_tables(self._pending)
        stop = table.num_rows - table.num_rows % self._row_group_rows if whole_groups else table.num_rows
        for start in range(0, stop, self._row_group_rows):
            group = table.slice(start, min(self._row_group_rows, stop - start)).combine_chunks()
            self._writer.write_table(group, row_group_size=group.num_rows)
        # combine_chunks copies the rest, so that the written blocks are freed
        self._pending = [table.slice(stop).combine_chunks()] if stop < table.num_rows else []
        self._pending_rows = table.num_rows - stop

    def close(self) -> None:
        """Write what is pending, and return when the file is safely on the disk."""
        if self._pending:
            self._flush(whole_groups=False)
        self._writer.close()
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        self._writer.close()
        self.path.unlink(missing_ok=True)


class Shard:
    """The features of one shard as an array of opaque rows, memory-mapped where the layout allows.

    A file that another tool has rewritten (compressed, split into pages) is read through pyarrow
    into memory instead: slower, the same answer.
    """

    def __init__(self, path: str | Path, spec: FeatureSpec):
        self.path, width = str(path), spec.row_bytes
        self._row_type = np.dtype((np.void, width))
        try:
            metadata = pq.read_metadata(self.path)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"shard {self.path} cannot be read: {error}") from error
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        sizes = np.array([g.num_rows for g in groups], dtype=np.int64)
        self._first_rows = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.zeros(0, np.int64)
        self.rows = int(sizes.sum())
        column = metadata.schema.to_arrow_schema().get_field_index("features")
        if column < 0:
            raise StoreError(f"shard {self.path} has no column 'features'")
        chunks = [g.column(column) for g in groups]
        self.mapped = self.rows > 0 and all(_is_plain(c) for c in chunks)
        if self.mapped:
            data = np.memmap(self.path, mode="r", dtype=np.uint8)
            offsets = [c.data_page_offset + c.total_compressed_size - n * width for c, n in zip(chunks, sizes, strict=True)]
            self.mapped = all(
                _page_size(data[c.data_page_offset : o].tobytes()) == n * width
                for c, o, n in zip(chunks, offsets, sizes, strict=True)
            )
            if self.mapped:
                # Every byte offset of the file as the start of a row: one gather serves all row groups.
                self._rows = np.ndarray((data.size - width + 1,), self._row_type, buffer=data, strides=(1,))
                self._offsets = np.array(offsets, dtype=np.int64)
                self._width = width
        if not self.mapped:
            self._rows = _decoded(self.path, width, self._row_type)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Rows by number (int64 [n]) as opaque values [n], copied out of the map."""
        if not self.mapped:
            return self._rows[rows]
        group = np.searchsorted(self._first_rows, rows, side="right") - 1
        return self._rows[self._offsets[group] + (rows - self._first_rows[group]) * self._width]


def _is_plain(chunk: Any) -> bool:
    return (
        chunk.physical_type == "FIXED_LEN_BYTE_ARRAY"
        and chunk.compression == "UNCOMPRESSED"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) <= {"PLAIN", "RLE"}
    )


def _page_size(header: bytes) -> int:
    """Size in bytes of a page, from its Thrift compact header: the second i32 field; -1 if it is not laid out so."""
    position, values = 0, []
    for _ in range(2):
        if position >= len(header) or header[position] != 0x15:  # next field, type i32
            return -1
        position, value, shift = position + 1, 0, 0
        while position < len(header):
            byte = header[position]
            position, value, shift = position + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        values.append((value >> 1) ^ -(value & 1))  # zigzag
    return values[1]


def _decoded(path: str, width: int, row_type: np.dtype[Any]) -> np.ndarray:
    column = pq.read_table(path, columns=["features"]).column("features")
    try:
        blocks = [chunk.cast(pa.binary(width)) for chunk in column.chunks]
    except pa.ArrowInvalid as error:
        raise StoreError(f"shard {path} has features of another width than {width} bytes") from error
    rows = [np.frombuffer(b.buffers()[1], row_type, count=len(b), offset=b.offset * width) for b in blocks if len(b)]
    return np.concatenate(rows) if rows else np.empty(0, row_type)
