"""The file of a shard: its name, its footer, and what the log says of it.

A shard's name ends with the CRC-32 of its footer, because Parquet has no checksum over it: the footer says
where the pages lie, and the pages have checksums of their own. Shards of older releases and of other tools
have other names, and their footers cannot be compared with anything.
"""

import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DamagedShard, StoreError
from .pages import checksum_of, footer_checksum, only_page
from .places import bring, forget, reading_threads

_THREADS = 4  # checksums are computed without Python's lock; more threads wait for memory
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FINISHED = re.compile(rf"part-{_UUID}-([0-9a-f]{{8}})\.parquet")
_OPEN = re.compile(rf"\.part-{_UUID}\.parquet")
_KEYS_VERIFIED: set[tuple[str | int, ...]] = set()
"""Files whose footer and keys this process has verified."""


def open_name() -> str:
    """A name for a shard that is being written."""
    return f".part-{uuid.uuid4()}.parquet"


def finished_name(open_name: str, checksum: int) -> str:
    """The name of a shard that is finished, and whose footer has this CRC-32."""
    return f"{open_name.removeprefix('.').removesuffix('.parquet')}-{checksum:08x}.parquet"


def is_open_name(name: str) -> bool:
    """Whether a file's name is that of a shard that is, or was, being written."""
    return bool(_OPEN.fullmatch(name))


def is_finished_name(name: str) -> bool:
    """Whether a file's name has the checksum of its footer."""
    return bool(_FINISHED.fullmatch(name))


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor of a shard's file, to read from.

    Raises DamagedShard for a file that is missing or that the disk cannot give, and StoreError for one that
    this process may not read: that file may be sound.
    """
    descriptor = -1
    try:
        descriptor = _descriptor(path)
        yield descriptor
    except FileNotFoundError as error:
        raise DamagedShard(path, "is missing") from error
    except OSError as error:
        if error.errno == errno.EIO:
            raise DamagedShard(path, f"cannot be read: {reason(error)}") from error
        raise StoreError(
            f"shard {path} cannot be read: {reason(error)}; check its permissions and its disk"
        ) from error
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _descriptor(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if not bring(path, whole=not is_finished_name(os.path.basename(path))):
            raise
    return os.open(path, os.O_RDONLY)


def identity(descriptor: int) -> tuple[int, ...]:
    """What changes when another file takes a file's place, or is written into it."""
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def read_footer(path: str, descriptor: int) -> pq.FileMetaData:
    """The footer of a shard's open file, compared with the checksum in its name if it has one."""
    checksum = footer_checksum(descriptor, path)
    named = _FINISHED.fullmatch(os.path.basename(path))
    if named and int(named[1], 16) != checksum:
        raise DamagedShard(path, "is damaged: its footer is not what was written")
    try:
        return pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedShard(path, f"cannot be read: {reason(error)}") from error


def require_readable(shards: Iterable[tuple[str, int, int | None]]) -> None:
    """Look at the size, the footer and the keys of shards, each once in a process.

    ``shards`` are paths with the size in bytes and the number of rows that the log says. Raises
    DamagedShard for the first one that is not what was written.
    """
    shards = list(shards)
    at_once = reading_threads(shards[0][0] if shards else "", min(_THREADS, os.cpu_count() or 1))
    with ThreadPoolExecutor(at_once, "enc-verify") as threads:
        for _ in threads.map(lambda shard: _require_readable(*shard), shards):
            pass


def _require_readable(path: str, size: int, rows: int | None) -> None:
    try:
        _look_at(path, size, rows)
    except DamagedShard:
        if not forget(path):
            raise
        _look_at(path, size, rows)


def _look_at(path: str, size: int, rows: int | None) -> None:
    with opened(path) as descriptor:
        known = (path, *identity(descriptor))
        if known in _KEYS_VERIFIED:
            return
        found = os.fstat(descriptor).st_size
        if found and found != size:
            raise DamagedShard(path, f"is damaged: it has {found:,} bytes, and the log says {size:,}")
        metadata = read_footer(path, descriptor)
        if rows not in (None, metadata.num_rows):
            raise DamagedShard(
                path, f"is damaged: it has {metadata.num_rows:,} rows, and the log says {rows:,}"
            )
        columns = metadata.schema.names
        if "key" not in columns or "features" not in columns:
            raise DamagedShard(path, "is no shard of features: it has no column 'key', or no 'features'")
        for group in range(metadata.num_row_groups):
            page = only_page(descriptor, metadata.row_group(group).column(columns.index("key")))
            if page is None or page.checksum is None or not page.is_own:
                if is_finished_name(os.path.basename(path)):
                    raise DamagedShard(
                        path, f"is damaged: keys of row group {group} are not what was written"
                    )
                continue
            if checksum_of(descriptor, page.start, page.size, path) != page.checksum:
                raise DamagedShard(path, f"is damaged: keys of row group {group} are not what was written")
    _KEYS_VERIFIED.add(known)


def reason(error: Exception) -> str:
    """An exception's message in one line, as short as the system's own where there is one."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
