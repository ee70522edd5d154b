"""Shards in the order of their keys, so that who looks for some keys leaves out most shards and row groups.

Rows are put into a temporary file in blocks, and sorted by range of keys in each block; then range after
range is read, sorted and written. Each row is read once, written once to the temporary folder and once to the
store; features move as bytes. Memory: a few blocks. A batch of shards takes no more of the temporary folder
than it may. Of a table that is larger, several batches are made: shards of a batch have no key in common.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from . import writer
from .errors import StoreError, WorkspaceError
from .key_bounds import depth_of
from .key_ranges import key_words
from .listed_shards import ListedShards, listed
from .logged import LoggedShard
from .pieces import READ_BYTES
from .rewrite import kept_rows
from .stored_keys import stored_keys
from .table import FeatureTable

BLOCK_BYTES = 64 << 20
_BINS = 1 << 16  # by the two leading bytes of a key
_FREE_SHARE = 0.5  # of the temporary folder's disk, that is taken unless said otherwise
_LONGEST_RUNS = 2  # times as many batches as needed are left as they are


def disk_to_use() -> int:
    """Bytes of the temporary folder that are taken unless said otherwise."""
    return int(shutil.disk_usage(tempfile.gettempdir()).free * _FREE_SHARE)


def batches_by_key(
    table: FeatureTable,
    logged: Sequence[LoggedShard],
    must: set[str],
    disk_bytes: int,
) -> list[list[LoggedShard]]:
    """Shards to be written anew together, so that few shards may hold a key; nothing where few do already.

    ``must`` are paths of shards that have to be written anew. Raises StoreError where one shard is larger
    than the disk may be used.
    """
    bounds = {shard.path: table.key_bounds.get(Path(shard.path).name) for shard in logged}
    total = sum(shard.bytes for shard in logged)
    largest = max(logged, key=lambda shard: shard.bytes, default=None)
    if len(logged) > 1 and largest and largest.bytes > disk_bytes:
        raise StoreError(
            f"shard '{largest.path}' has {largest.bytes:,} bytes, and {disk_bytes:,} of the temporary "
            "folder may be used; pass a larger --disk, or set TMPDIR to a larger folder"
        )
    needed = max(1, -(-total // max(1, disk_bytes)))
    few = 2 * -(-total // writer.SHARD_BYTES)
    if not must and len(logged) <= max(1, few) and depth_of(bounds.values()) <= needed:
        return []
    loose: list[LoggedShard] = []
    firm: list[LoggedShard] = []
    for shard in logged:
        found = bounds[shard.path]
        is_wide = found is None or found.last[0] - found.first[0] >= 128
        is_small = shard.bytes < writer.SHARD_BYTES // 2
        (loose if shard.path in must or is_small or is_wide else firm).append(shard)
    if total <= disk_bytes or depth_of(bounds[shard.path] for shard in firm) > _LONGEST_RUNS * needed:
        loose = list(logged)
    batches: list[list[LoggedShard]] = []
    size = 0
    for shard in sorted(loose, key=lambda shard: (bounds[shard.path] or (b"",), shard.path)):
        if not batches or size + shard.bytes > disk_bytes:
            batches.append([])
            size = 0
        batches[-1].append(shard)
        size += shard.bytes
    return [batch for batch in batches if len(batch) > 1 or batch[0].path in must]


def rows_by_key(
    con: duckdb.DuckDBPyConnection,
    table: FeatureTable,
    shards: Sequence[LoggedShard],
    dropped: Mapping[str, np.ndarray],
    folder: Path,
) -> Iterator[pa.RecordBatch]:
    """The rows of shards in the order of their keys, but for those that are dropped.

    ``folder`` is one for temporary files, where there is room for all rows. Raises WorkspaceError where there
    is none.
    """
    row_bytes = max(1, sum(s.bytes for s in shards) // max(1, sum(s.rows or 1 for s in shards)))
    ranges = _ranges(_rows_by_bin(con, listed(shards)), max(1, BLOCK_BYTES // row_bytes))
    batches = kept_rows(table.spec, shards, dropped)
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    try:
        starts = _write_blocks(batches, ranges, Path(name))
        if not starts:
            return
        with pa.memory_map(name) as memory, pa.ipc.open_file(memory) as file:
            for number in range(int(ranges[-1]) + 1):
                parts = [
                    file.get_batch(block).slice(int(bounds[number]), int(bounds[number + 1] - bounds[number]))
                    for block, bounds in enumerate(starts)
                    if bounds[number] < bounds[number + 1]
                ]
                if parts:
                    yield from _sorted(pa.concat_batches(parts), row_bytes)
    finally:
        os.unlink(name)


def _rows_by_bin(con: duckdb.DuckDBPyConnection, shards: ListedShards) -> np.ndarray:
    rows = np.zeros(_BINS, np.int64)
    for words, _ in stored_keys(con, shards, None):
        rows += np.bincount(_bins_of(words), minlength=_BINS)
    return rows


def _bins_of(words: np.ndarray) -> np.ndarray:
    return (words[:, 0].byteswap() >> np.uint64(48)).astype(np.int64)


def _ranges(rows: np.ndarray, most: int) -> np.ndarray:
    """The range of each bin, int64 [bins], ascending: of about so many rows each."""
    return (np.cumsum(rows) - rows) // most


def _write_blocks(batches: Iterator[pa.RecordBatch], ranges: np.ndarray, path: Path) -> list[np.ndarray]:
    """Write blocks of rows, sorted by range; returns where each range begins in each block, and it ends."""
    starts: list[np.ndarray] = []
    file: pa.ipc.RecordBatchFileWriter | None = None
    try:
        for block in _blocks(batches):
            numbers = ranges[_bins_of(_words(block))]
            ordered = block.take(pa.array(np.argsort(numbers, kind="stable")))
            with _errors_of_disk():
                file = file or pa.ipc.new_file(str(path), ordered.schema)
                file.write_batch(ordered)
            counts = np.bincount(numbers, minlength=int(ranges[-1]) + 1)
            starts.append(np.concatenate([[0], np.cumsum(counts)]))
    finally:
        if file:
            with _errors_of_disk():
                file.close()
    return starts


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size >= BLOCK_BYTES:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_batches(waiting)


def _words(batch: pa.RecordBatch) -> np.ndarray:
    return key_words(batch.column("key").cast(pa.binary()))


def _sorted(rows: pa.RecordBatch, row_bytes: int) -> Iterator[pa.RecordBatch]:
    words = _words(rows).byteswap()
    order = np.lexsort(words.T[::-1])
    step = max(1, READ_BYTES // row_bytes)
    for start in range(0, len(order), step):
        yield rows.take(pa.array(order[start : start + step]))


@contextmanager
def _errors_of_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise WorkspaceError(
            f"rows cannot be sorted in '{tempfile.gettempdir()}' ({reason}); free some space, pass a smaller "
            "--disk, or set TMPDIR to another folder"
        ) from error
