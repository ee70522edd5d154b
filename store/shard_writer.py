"""Writing one shard row group by row group, in the layout that :mod:`enc.store.shard` describes."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import StoreError
from .files import named_errors, sync
from .pages import is_finite
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
        self._spec, self._schema = spec, shard_schema(spec)
        self._row_group_rows = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // spec.row_bytes))
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        with named_errors(path):
            self._writer = pq.ParquetWriter(
                path,
                self._schema,
                compression="none",
                use_dictionary=False,
                write_statistics=False,  # keys are uniform and features opaque: no range leaves any out
                data_page_size=_ONE_PAGE,
                max_rows_per_page=_ONE_PAGE,
                write_page_checksum=True,
            )

    def write(
        self, keys: pa.Array, n_tokens: np.ndarray, truncated: np.ndarray, features: np.ndarray
    ) -> None:
        """Append rows: keys of 32 bytes, n_tokens int32 [n], truncated bool [n], features [n, *shape]."""
        rows = len(keys)
        if features.shape != (rows, *self._spec.shape):
            raise ValueError(
                f"features have shape {features.shape}, the setting wants {(rows, *self._spec.shape)}"
            )
        block = np.ascontiguousarray(features, dtype=self._spec.numpy_dtype)
        if not is_finite(block):
            raise StoreError(f"features for '{self.path}' are not finite; nothing of them is stored")
        columns = [
            keys.cast(pa.binary(KEY_BYTES)),
            pa.array(n_tokens, pa.int32()),
            pa.array(truncated, pa.bool_()),
            pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(self._spec.row_bytes), rows, [None, pa.py_buffer(block)]
            ),
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
            with named_errors(self.path):
                self._writer.write_table(group, row_group_size=group.num_rows)
        # combine_chunks copies the rest, so that the written blocks are freed
        self._pending = [table.slice(stop).combine_chunks()] if stop < table.num_rows else []
        self._pending_rows = table.num_rows - stop

    def close(self) -> None:
        """Write what is pending, and return when the file is safely on the disk."""
        if self._pending:
            self._flush(whole_groups=False)
        with named_errors(self.path):
            self._writer.close()
            sync(self.path)

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        with suppress(OSError):  # the disk may be full
            self._writer.close()
        self.path.unlink(missing_ok=True)
