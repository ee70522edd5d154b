"""Writing one shard row group by row group, in the layout that :mod:`enc.store.shard` describes."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import StoreError
from .files import named_errors, sync
from .key_bounds import GROUPS_KEY, KEY_BYTES, Bounds, to_metadata, union
from .listed_shards import bounds_of
from .pages import is_finite
from .spec import FeatureSpec
from .token_rows import TokenRows

ROW_GROUP_BYTES = 8 << 20  # small enough to buffer while writing, large enough to read as one block
ROW_GROUP_ROWS = 16384  # of narrow features, whose keys would weigh more
_ONE_PAGE = (1 << 31) - 1  # page limits that no row group reaches


def shard_schema(spec: FeatureSpec) -> pa.Schema:
    """Columns of a shard; shape and dtype of the features stand in the schema's metadata."""
    types: dict[str, pa.DataType] = {
        "key": pa.binary(KEY_BYTES),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "kept_tokens": pa.int32(),
        "features": pa.binary() if spec.is_ragged else pa.binary(spec.row_bytes),
    }
    return pa.schema(
        [pa.field(name, types[name], nullable=False) for name in spec.columns],
        metadata={
            "enc.shape": ",".join(map(str, spec.shape)),
            "enc.dtype": spec.dtype,
            "enc.spec": spec.digest,
        },
    )


class ShardWriter:
    """Writes one shard row group by row group; at most one row group is held in memory."""

    def __init__(self, path: Path, spec: FeatureSpec):
        self.path, self.rows, self.bytes = path, 0, 0
        self._group_bounds: list[Bounds] = []
        self._spec, self._schema = spec, shard_schema(spec)
        self._pending: list[pa.Table] = []
        self._pending_rows = self._pending_bytes = 0
        with named_errors(path):
            self._writer = pq.ParquetWriter(
                path,
                self._schema,
                compression="none",
                use_dictionary=False,
                write_statistics=False,  # features are opaque, and the bounds of keys stand in the footer
                data_page_size=_ONE_PAGE,
                max_rows_per_page=_ONE_PAGE,
                write_page_checksum=True,
            )

    def write(
        self,
        keys: pa.Array,
        n_tokens: np.ndarray,
        truncated: np.ndarray,
        features: np.ndarray | TokenRows,
    ) -> None:
        """Append rows: keys of 32 bytes, n_tokens int32 [n], truncated bool [n], features [n, *shape].

        Features of a ragged setting are TokenRows.
        """
        rows, spec = len(keys), self._spec
        if isinstance(features, TokenRows):
            self._require_shape(features.vectors, (int(features.lengths.sum()), spec.shape[1]))
            values, lengths = features.vectors, [pa.array(features.lengths, pa.int32())]
        else:
            self._require_shape(features, (rows, *spec.shape))
            values, lengths = features, []
        if bool(lengths) != spec.is_ragged or len(features) != rows:
            raise ValueError(f"{len(features)} rows of {type(features).__name__} are not of this layout")
        block = np.ascontiguousarray(values, dtype=spec.numpy_dtype)
        if not is_finite(block):
            raise StoreError(f"features for '{self.path}' are not finite; nothing of them is stored")
        columns = [
            keys.cast(pa.binary(KEY_BYTES)),
            pa.array(n_tokens, pa.int32()),
            pa.array(truncated, pa.bool_()),
            *lengths,
            self._column(block, rows, features),
        ]
        self._pending.append(pa.Table.from_arrays(columns, schema=self._schema))
        self._pending_rows += rows
        self._pending_bytes += block.nbytes
        self.rows += rows
        self.bytes += rows * (KEY_BYTES + 5) + block.nbytes
        if self._is_full(self._pending_rows, self._pending_bytes):
            self._flush(whole_groups=True)

    def _require_shape(self, values: np.ndarray, shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise ValueError(f"features have shape {values.shape}, the setting wants {shape}")

    def _column(self, block: np.ndarray, rows: int, features: np.ndarray | TokenRows) -> pa.Array:
        if not isinstance(features, TokenRows):
            fixed = pa.binary(self._spec.row_bytes)
            return pa.FixedSizeBinaryArray.from_buffers(fixed, rows, [None, pa.py_buffer(block)])
        offsets = np.zeros(rows + 1, np.int32)  # a row group and what is added at once fit by far
        offsets[1:] = np.cumsum(features.lengths.astype(np.int64) * self._spec.vector_bytes)
        return pa.BinaryArray.from_buffers(
            pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(block)]
        )

    def _is_full(self, rows: int, size: int) -> bool:
        """Whether a row group of so many rows and bytes of features may have no further row."""
        return rows >= ROW_GROUP_ROWS or size + self._spec.row_bytes > ROW_GROUP_BYTES

    @property
    def key_bounds(self) -> Bounds | None:
        """The least and the greatest key of a finished shard."""
        return union(self._group_bounds)

    def _flush(self, *, whole_groups: bool) -> None:
        table = pa.concat_tables(self._pending)
        stops = np.concatenate([[0], np.cumsum(self._sizes(table), dtype=np.int64)])
        start = 0
        while start < table.num_rows:
            fitting = int(np.searchsorted(stops, stops[start] + ROW_GROUP_BYTES, side="right")) - 1
            stop = min(max(fitting, start + 1), start + ROW_GROUP_ROWS, table.num_rows)
            is_last = stop == table.num_rows
            if is_last and whole_groups and not self._is_full(stop - start, int(stops[stop] - stops[start])):
                break
            group = table.slice(start, stop - start).combine_chunks()
            with named_errors(self.path):
                self._writer.write_table(group, row_group_size=group.num_rows)
            self._group_bounds.append(bounds_of(group.column("key").chunk(0)))
            start = stop
        # combine_chunks copies the rest, so that the written blocks are freed
        self._pending = [table.slice(start).combine_chunks()] if start < table.num_rows else []
        self._pending_rows, self._pending_bytes = table.num_rows - start, int(stops[-1] - stops[start])

    def _sizes(self, table: pa.Table) -> np.ndarray:
        """Bytes of each row's features."""
        if not self._spec.is_ragged:
            return np.full(table.num_rows, self._spec.row_bytes)
        return table.column("kept_tokens").to_numpy() * np.int64(self._spec.vector_bytes)

    def close(self) -> None:
        """Write what is pending, and return when the file is safely on the disk."""
        if self._pending:
            self._flush(whole_groups=False)
        with named_errors(self.path):
            self._writer.add_key_value_metadata({GROUPS_KEY: to_metadata(self._group_bounds)})
            self._writer.close()
            sync(self.path)

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError):  # the disk may be full
            self._writer.close()
        self.path.unlink(missing_ok=True)
