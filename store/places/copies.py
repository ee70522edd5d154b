"""Copies of files of an object store, for as long as this process runs."""

import atexit
import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

from ..errors import EncError, PlaceError
from .place import Place, place_of
from .remote import RemotePath

_RANGE_BYTES = 16 << 20  # that are fetched at a time


def is_url(path: object) -> bool:
    """Whether a path is a URL, also one whose slashes pathlib has put together."""
    scheme, colon, rest = str(path).partition(":")
    return colon == ":" and rest.startswith("/") and len(scheme) > 1 and scheme.isalnum()


def listed_files(name: str) -> list[str] | None:
    """The files that a URL, or a glob of them, names; None for what is no URL. Nothing is fetched.

    Raises PlaceError for a folder and for what is not there.
    """
    if not is_url(name):
        return None
    wild = next((at for at, letter in enumerate(name) if letter in "*?["), None)
    if wild is None:
        place = RemotePath(name)
        if not place.is_file():
            raise PlaceError(
                f"'{name}' is a folder; name its files, for example '{name.rstrip('/')}/*.parquet'"
                if place.is_dir()
                else f"no file '{name}'"
            )
        return [str(place)]
    folder, _, _ = name[:wild].rpartition("/")
    found = sorted(str(path) for path in RemotePath(folder).glob(name[len(folder) + 1 :]))
    if not found:
        raise PlaceError(f"no file '{name}'")
    return found


def local_file(name: str) -> str:
    """A copy of the file that a URL names; a local file is itself.

    A file is fetched once in a process, which so sees one state of it.
    """
    return _copied(name) if is_url(name) else name


def fetched_file(name: str, folder: Path, without: Sequence[tuple[int, int]] = ()) -> str:
    """A copy in a folder of the file that a URL names, as it is now; a local file is itself.

    ``without`` are the first byte and the one behind the last one of what is not wanted, where the copy has
    zeros; what lies there is not fetched.
    """
    if not is_url(name):
        return name
    place = RemotePath(name)
    copy = folder / place.name
    if without:
        _download_rest(place, copy, without)
    else:
        place.download(copy)
    return str(copy)


def _download_rest(place: RemotePath, file: Path, without: Sequence[tuple[int, int]]) -> None:
    """Write all of an object but some ranges of bytes; a file system keeps no room for zeros."""
    size = place.stat().st_size
    with open(file, "wb") as target:
        target.truncate(size)
        at = 0
        for start, stop in [*sorted(without), (size, size)]:
            for first in range(at, min(start, size), _RANGE_BYTES):
                target.seek(first)
                target.write(place.ranges([first], [min(first + _RANGE_BYTES, start, size)])[0])
            at = max(at, stop)


def local_folder(path: "str | Place") -> Path:
    """A folder of this machine with the files of a folder; a local one is itself. Raises PlaceError."""
    if isinstance(path, Path) or not is_url(path):
        return Path(str(path))
    place = place_of(path)
    before = place.marks() if isinstance(place, RemotePath) else {}
    files = [_copied(str(place / name)) for name in before if "/" not in name]
    if not files:
        raise PlaceError(f"there is nothing in '{path}'")
    if isinstance(place, RemotePath) and before != place.marks():
        raise PlaceError(f"'{path}' was written while it was read; run this again")
    return Path(files[0]).parent


@contextmanager
def folder_to_write(path: "str | Place", last: str) -> Iterator[Path]:
    """A folder of this machine to fill: a local one itself, or one that is put to a URL at the end.

    What is there of a URL is replaced when the block ends without an error; the file ``last``, without which
    nobody takes the folder for what it is, goes first and comes last.
    """
    if not is_url(path):
        yield Path(str(path))
        return
    place = RemotePath(str(path))  # which refuses a URL that pathlib has spoiled
    with tempfile.TemporaryDirectory(prefix="enc-") as scratch:
        folder = Path(scratch, place.name)
        yield folder
        put_folder(folder, place, last)


def put_folder(folder: Path, place: RemotePath, last: str | None = None) -> None:
    """Put all files of a folder to a URL, ``last`` at the end; with it, other objects there go."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if last is not None:
        (place / last).unlink(missing_ok=True)
        for name in place.marks():
            if name not in files:
                _place_in(place, name).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: (name == last, name)):
        _place_in(place, name).upload(files[name])


def require_puts(path: str, error: type[EncError]) -> None:
    """Raise ``error`` unless objects can be written to a URL, and PlaceError where it is none."""
    probe = RemotePath(path) / f".enc-probe-{uuid.uuid4().hex}"
    try:
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    except OSError as problem:
        raise error(f"'{path}' cannot be written ({problem.strerror or problem})") from problem


def _place_in(place: RemotePath, name: str) -> RemotePath:
    for part in name.split("/"):
        place /= part
    return place


@cache
def _copied(url: str) -> str:
    place = RemotePath(url)
    file = _folder_for(url) / place.name
    place.download(file)
    return str(file)


def _folder_for(url: str) -> Path:
    folder = _scratch() / hashlib.sha256(url.rpartition("/")[0].encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    return folder


@lru_cache(maxsize=1)
def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="enc-copies-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
