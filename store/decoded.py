"""Shards of another tool's layout, decoded to rows that lie one after the other."""

import errno
import tempfile
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DamagedShard, WorkspaceError
from .pages import is_finite
from .ragged_pages import RaggedRows
from .shard_file import reason
from .spec import FeatureSpec

_READ_BYTES = 1 << 20  # at a time


def decoded(path: str, spec: FeatureSpec, rows: int) -> tuple[IO[bytes], RaggedRows | None]:
    """The features of a shard of any layout, as plain rows in an unnamed temporary file.

    With ragged features comes where its rows are. Raises DamagedShard, and WorkspaceError where the temporary
    folder is full.
    """
    width, lengths = spec.row_bytes, []
    file = tempfile.TemporaryFile(prefix="enc-")  # noqa: SIM115 - lives as long as the shard
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as shard:
            for batch in shard.iter_batches(batch_size=max(1, _READ_BYTES // width), columns=["features"]):
                if spec.is_ragged:
                    block, sizes = ragged_values(batch.column(0), spec)
                    lengths.append(sizes)
                else:
                    block = fixed_values(batch.column(0), width)
                if not is_finite(np.frombuffer(block, spec.numpy_dtype)):
                    raise DamagedShard(path, "has features that are not finite")
                file.write(block)
        file.flush()
        found = sum(map(len, lengths)) if spec.is_ragged else file.tell() / width
        if found != rows:
            raise DamagedShard(path, f"is damaged: it has not the {rows:,} rows of its footer")
    except pa.ArrowInvalid as error:
        file.close()
        raise DamagedShard(path, f"has features of another width than {width} bytes") from error
    except (OSError, pa.ArrowException) as error:
        file.close()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise WorkspaceError(
                "a shard of another tool's layout is decoded to the temporary folder, which is full; free "
                "some space, set TMPDIR to another folder, or run enc store compact"
            ) from error
        raise DamagedShard(path, f"is damaged: {reason(error)}") from error
    if not spec.is_ragged:
        return file, None
    return file, RaggedRows.one_after_the_other(np.concatenate([np.empty(0, np.int32), *lengths]), spec)


def fixed_values(column: pa.Array, width: int) -> pa.Buffer:
    """The bytes of a column whose values all have ``width`` bytes. Raises ArrowInvalid where they do not."""
    column = column.cast(pa.binary(width))
    if not len(column):
        return pa.py_buffer(b"")
    return column.buffers()[1][column.offset * width : (column.offset + len(column)) * width]


def ragged_values(column: pa.Array, spec: FeatureSpec) -> tuple[pa.Buffer, np.ndarray]:
    """The bytes of a column of ragged rows, and the tokens of each row, int32.

    Raises ArrowInvalid where a value is not some vectors, or is more than max_length of them.
    """
    column = column.cast(pa.binary())
    if not len(column):
        return pa.py_buffer(b""), np.empty(0, np.int32)
    _, offsets, data = column.buffers()
    stops = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    sizes = np.diff(stops)
    if (sizes % spec.vector_bytes).any() or sizes.max(initial=0) > spec.row_bytes:
        raise pa.ArrowInvalid(f"rows are not vectors of {spec.vector_bytes} bytes")
    block = data[stops[0] : stops[-1]] if data is not None else pa.py_buffer(b"")
    return block, (sizes // spec.vector_bytes).astype(np.int32)
