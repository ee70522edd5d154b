"""Local names of what lies in an object store, and the files behind them.

A shard never changes. Its local file has the shard's size from the beginning, and holds what was asked for:
first the footer and all but the features (4% of the bytes, which plans and anti-joins read), and of the
features those row groups that were read. What was not fetched is a hole in the file, and reads as zeros: the
checksum of a row group tells that it is missing, as it tells any damage. So no record says what is there,
and a process that is killed leaves nothing that another one could take for features. A file without
checksums, of another tool, is fetched whole.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from ..errors import WorkspaceError
from . import room
from .place import place_of
from .remote import SCHEMES, RemotePath

FOLDER = "ENC_SHARD_CACHE"
_TAIL = 1 << 16  # bytes of the end that are fetched first; the footer of most shards is in them
_HEADER = 128  # bytes of a page's header
_FOOTER_END = 8


def root() -> Path:
    """The folder of the cache."""
    chosen = os.environ.get(FOLDER)
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "enc" / "shards"


def folder_of(place: Path | RemotePath) -> Path:
    """The folder whose files are read in place of a place's; of a local one, itself."""
    if isinstance(place, Path):
        return place.absolute()
    return root().joinpath(place.scheme, place.bucket, *place.parts)


def origin_of(path: str | Path) -> RemotePath | None:
    """Where a file of the cache comes from; None for any other file."""
    text, top = str(path), f"{root()}{os.sep}"
    if not text.startswith(top):
        return None
    scheme, *parts = text[len(top) :].split(os.sep)
    return RemotePath(f"{scheme}://{'/'.join(parts)}") if scheme in SCHEMES and parts else None


def shown(path: str | Path) -> str:
    """How messages name a file."""
    return str(origin_of(path) or path)


def reading_threads(path: str | Path, local: int, remote: int = 24) -> int:
    """How many threads read files such as this one: ``remote`` of them where a network is waited for."""
    return local if origin_of(path) is None else remote


def bring(path: str | Path, *, whole: bool = False) -> bool:
    """Fetch what a file of the cache holds from the beginning; False for a path that is not in the cache.

    Raises FileNotFoundError where the object store has no such object.
    """
    origin = origin_of(path)
    if origin is None:
        return False
    path = Path(path)
    with _NewFile(path) as new:
        if whole:
            origin.download(new)
        else:
            tail, size = origin.tail(_TAIL)
            _write_parts(new, tail, size, origin.ranges)
    return True


def forget(path: str) -> bool:
    """Remove a file of the cache, which is then fetched anew; False for a path that is not in the cache."""
    if origin_of(path) is None:
        return False
    Path(path).unlink(missing_ok=True)
    return True


def readable(place: Path | RemotePath) -> str:
    """A file of this machine with the keys that a place holds. Raises FileNotFoundError."""
    if isinstance(place, Path):
        return str(place)
    path = folder_of(place.parent) / place.name
    if not path.exists():
        bring(path)
    return str(path)


def fetched(path: str, start: int, size: int) -> bytes | None:
    """Bytes of a file of the cache as the object store has them; None for a path that is not in the cache."""
    origin = origin_of(path)
    return None if origin is None else origin.ranges([start], [start + size])[0]


def keep(path: str, descriptor: int, start: int, data: bytes) -> bool:
    """Write bytes that were fetched into an open file of the cache; False where there is no room for them."""
    before = os.fstat(descriptor)
    try:
        if not room.make(root(), len(data), _without_features):
            return False
        with open(path, "r+b", buffering=0) as file:
            if not os.path.samestat(os.fstat(file.fileno()), before):
                return False
            file.seek(start)
            if file.write(data) < len(data):
                return False
            # The time of writing is the file's identity, and the time of access tells when it was used.
            os.utime(file.fileno(), ns=(max(before.st_atime_ns, _now()), before.st_mtime_ns))
    except OSError:  # the disk is full, or the file is gone
        return False
    return True


def publish(draft: Path, name: str, folder: Path | RemotePath) -> Path:
    """Give a finished file of :func:`folder_of` its name in a place; returns its local name.

    What is put into an object store stays in the cache, where there is room.
    """
    if isinstance(folder, Path):
        return draft.rename(draft.with_name(name))
    (folder / name).upload(draft)
    file = draft.rename(draft.with_name(name))
    if not room.make(root(), 0, _without_features):
        _without_features(file)
    return file


def withdraw(file: Path) -> None:
    """Remove a file that was published, or was to be."""
    origin = origin_of(file)
    if origin is not None and not file.name.startswith("."):
        origin.unlink(missing_ok=True)
    file.unlink(missing_ok=True)


@contextmanager
def outgoing(path: str | os.PathLike[str] | RemotePath) -> Iterator[Path]:
    """A file to write, which is that of ``path``, or is put there when the block ends without an error."""
    place = place_of(path)
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="enc-") as folder:
        file = Path(folder, place.name)
        yield file
        place.upload(file)


class _NewFile:
    """A new file that takes its name when the block ends, unless another process was quicker."""

    def __init__(self, path: Path):
        self._path = path
        self._new = path.with_name(f".{path.name[:64]}-{uuid.uuid4().hex}")

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_cache(error) from error
        return self._new

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                with suppress(FileExistsError):
                    os.link(self._new, self._path)
        except OSError:
            os.replace(self._new, self._path)  # a file system without links
        finally:
            self._new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename != str(origin_of(self._path)):
            raise no_cache(error) from error


def no_cache(error: OSError) -> WorkspaceError:
    """What is said where the cache itself cannot be written."""
    said = os.strerror(error.errno) if error.errno else str(error)
    return WorkspaceError(
        f"the cache of shards in '{root()}' cannot be written ({said}); free some space, or set {FOLDER} to "
        "another folder"
    )


def _without_features(path: Path) -> bool:
    """Put a file without features in the place of one that has some; False where nothing was freed."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            descriptor = file.fileno()
            tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
            new = path.with_name(f".{path.name[:64]}-{uuid.uuid4().hex}")
            try:
                _write_parts(new, tail, size, partial(_read_parts, descriptor))
                os.replace(new, path)
            finally:
                new.unlink(missing_ok=True)
    except Exception:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return True


def _read_parts(descriptor: int, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
    return [os.pread(descriptor, stop - start, start) for start, stop in zip(starts, stops, strict=True)]


def _write_parts(
    new: Path, tail: bytes, size: int, ranges: Callable[[Sequence[int], Sequence[int]], list[bytes]]
) -> None:
    """Write a shard's file with all but the features of its row groups, which come last in each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    length = int.from_bytes(tail[-_FOOTER_END:-4], "little") + _FOOTER_END
    if len(tail) < min(length, size):
        tail = ranges([max(0, size - length)], [size])[0]
    starts, stops = [0], [min(size, 4)]
    try:
        footer = pq.read_metadata(pa.BufferReader(tail))
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            offsets = sorted(group.column(c).data_page_offset for c in range(group.num_columns))
            starts.append(offsets[0])
            stops.append(min(size, offsets[-1] + _HEADER))
    except (pa.ArrowException, OSError, ValueError):
        starts, stops = [0], [size]  # what is wrong with it is found by who reads it
    parts = ranges(starts, stops)
    with open(new, "wb", buffering=0) as file:
        os.ftruncate(file.fileno(), size)
        for start, part in zip(starts, parts, strict=True):
            os.pwrite(file.fileno(), part, start)
        os.pwrite(file.fileno(), tail, size - len(tail))


def _now() -> int:
    import time

    return time.time_ns()
