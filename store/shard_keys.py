"""The keys of one shard, compared with their checksums as they are read.

A shard of ours has the keys of a row group in one page of plain values: the bytes that are verified are the
keys, and nothing has to be decoded.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from .errors import DamagedShard
from .key_bounds import KEY_BYTES, of_metadata
from .key_column import KeyColumn, key_column
from .listed_shards import Wanted, spans_of
from .logged import LoggedShard
from .pages import Page, checksum_of, crc32, only_page
from .places import forget, reading_threads
from .shard_file import identity, opened, verified_footer

_THREADS = 4  # checksums are computed without Python's lock; more threads wait for memory
_VERIFIED: set[tuple[str | int, ...]] = set()
"""Files whose footer and keys this process has verified."""
_NOT_WRITTEN = "is damaged: keys of row group {} are not what was written"

T = TypeVar("T")
ShardKeys = list[tuple[np.ndarray, int]]
"""Keys of some row groups, uint64 [n, 4] each, and the number of the first row of each."""


def local_threads() -> int:
    """How many threads read shards of this machine."""
    return min(_THREADS, os.cpu_count() or 1)


def require_readable(shards: Iterable[LoggedShard]) -> None:
    """Look at the size, the footer and the keys of shards, each once in a process.

    Raises DamagedShard for the first one that is not what was written.
    """
    shards = list(shards)
    at_once = reading_threads(shards[0].path if shards else "", local_threads())
    with ThreadPoolExecutor(at_once, "enc-verify") as threads:
        for _ in threads.map(lambda shard: _fetched_again(_look_at, shard), shards):
            pass


def read_keys(shard: LoggedShard, wanted: Wanted | None = None) -> ShardKeys | None:
    """The keys of a shard, or of those row groups in which wanted ones may be.

    None for a file of another layout, which another tool has rewritten. Raises DamagedShard for one that is
    not what was written.
    """
    return _fetched_again(lambda shard: _read_keys(shard, wanted), shard)


def _fetched_again(function: Callable[[LoggedShard], T], shard: LoggedShard) -> T:
    """``function`` of a shard; of one that is damaged in the cache, once more when it is fetched anew."""
    try:
        return function(shard)
    except DamagedShard:
        if not forget(shard.path):
            raise
        return function(shard)


def _look_at(shard: LoggedShard) -> None:
    with opened(shard.path) as descriptor:
        known = (shard.path, *identity(descriptor))
        if known in _VERIFIED:
            return
        for group, page in enumerate(_key_pages(_key_column(shard, descriptor), shard.path, descriptor)):
            if page and checksum_of(descriptor, page.start, page.size, shard.path) != page.checksum:
                raise DamagedShard(shard.path, _NOT_WRITTEN.format(group))
    _VERIFIED.add(known)


def _read_keys(shard: LoggedShard, wanted: Wanted | None) -> ShardKeys | None:
    found: ShardKeys = []
    with opened(shard.path) as descriptor:
        column = _key_column(shard, descriptor)
        pages = _key_pages(column, shard.path, descriptor)
        chosen = None
        if wanted is not None and len(pages) > 1:  # of one row group the log has said it
            chosen = wanted.may_be_in(spans_of(of_metadata(column.metadata, len(pages))))
        if not column.is_fixed:
            return None
        first = 0
        for group, (page, rows) in enumerate(zip(pages, column.rows, strict=True)):
            if page is None or page.size != rows * KEY_BYTES:
                return None
            if chosen is None or chosen[group]:
                keys = os.pread(descriptor, page.size, page.start)
                if len(keys) != page.size or crc32(keys) != page.checksum:
                    raise DamagedShard(shard.path, _NOT_WRITTEN.format(group))
                found.append((np.frombuffer(keys, np.uint64).reshape(rows, -1), first))
            first += rows
    return found


def _key_column(shard: LoggedShard, descriptor: int) -> KeyColumn:
    """What the footer of a shard's open file says, which has the size and the rows that the log says."""
    path, size, rows = shard
    found = os.fstat(descriptor).st_size
    if found and found != size:
        raise DamagedShard(path, f"is damaged: it has {found:,} bytes, and the log says {size:,}")
    column = key_column(path, *verified_footer(path, descriptor))
    if rows not in (None, column.all_rows):
        raise DamagedShard(path, f"is damaged: it has {column.all_rows:,} rows, and the log says {rows:,}")
    return column


def _key_pages(column: KeyColumn, path: str, descriptor: int) -> list[Page | None]:
    """The page of keys of each row group; None for one without a checksum, which other tools write."""
    pages: list[Page | None] = []
    for group, chunk in enumerate(column.chunks):
        page = only_page(descriptor, chunk)
        is_own = page is not None and page.checksum is not None and page.is_own
        if column.is_ours and not is_own:
            raise DamagedShard(path, _NOT_WRITTEN.format(group))
        pages.append(page if is_own else None)
    return pages
