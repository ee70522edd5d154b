"""The file of a shard: its name, its footer, and what the log says of it.

A shard's name ends with the CRC-32 of its footer, because Parquet has no checksum over it: the footer says
where the pages lie, and the pages have checksums of their own. Shards of older releases and of other tools
have other names, and their footers cannot be compared with anything.
"""

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import DamagedShard, StoreError
from .pages import MAGIC, crc32, footer_of
from .places import bring

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FINISHED = re.compile(rf"part-{_UUID}-([0-9a-f]{{8}})\.parquet")
_OPEN = re.compile(rf"\.part-{_UUID}\.parquet")


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
    return parsed_footer(path, verified_footer(path, descriptor)[0])


def verified_footer(path: str, descriptor: int) -> tuple[bytes, bool]:
    """The bytes of a footer, and whether there was a checksum in the file's name to compare them with."""
    footer = footer_of(descriptor, path)
    named = _FINISHED.fullmatch(path, path.rfind(os.sep) + 1)
    if named and int(named[1], 16) != crc32(footer):
        raise DamagedShard(path, "is damaged: its footer is not what was written")
    return footer, named is not None


def parsed_footer(path: str, footer: bytes) -> pq.FileMetaData:
    """What the bytes of a shard's footer say."""
    try:
        return pq.read_metadata(pa.BufferReader(MAGIC + footer))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedShard(path, f"cannot be read: {reason(error)}") from error


def reason(error: Exception) -> str:
    """An exception's message in one line, as short as the system's own where there is one."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
