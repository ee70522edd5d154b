"""What a user named: a path of this machine, or a URL."""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import PlaceError
from . import client
from .reader import ObjectReader
from .remote import RemotePath

Place: TypeAlias = Path | RemotePath
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/")


def place_of(path: "str | os.PathLike[str] | RemotePath") -> Place:
    """A path, or of a URL a :class:`RemotePath`. Raises PlaceError for a URL that cannot be one."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    if not isinstance(path, Path) and _URL.match(text):
        return RemotePath(text)
    return Path(path)


def has_locks(place: Place) -> bool:
    """Whether processes can tell each other, by locks of files, what they use there."""
    return isinstance(place, Path)


def free_bytes(folder: Place) -> int | None:
    """What can still be written to a folder, which need not be there yet; None where nobody can tell."""
    if isinstance(folder, RemotePath):
        return None
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def require_safe_commits(place: Place) -> None:
    """Raise PlaceError for an object store that writes over an object which it was told to leave.

    Commits of several writers would be lost there without a word.
    """
    if isinstance(place, Path):
        return
    probe = place / f".enc-probe-{uuid.uuid4().hex}"
    try:
        with suppress(FileExistsError):  # its answer was lost, and it was sent again
            probe.write_bytes(b"first", new=True)
        try:
            probe.write_bytes(b"second", new=True)
        except FileExistsError:
            return
    finally:
        probe.unlink(missing_ok=True)
    raise PlaceError(
        f"'{place}' cannot hold features: its object store ignores conditional puts (If-None-Match), and "
        "would lose commits of two writers; use one that has them"
    )


def descriptor(place: Place, flags: int) -> int:
    """An open file to lock. Raises OSError for what has no locks, as some file systems do."""
    if isinstance(place, RemotePath):
        raise OSError(errno.ENOTSUP, "an object store has no locks", str(place))
    return os.open(place, flags, 0o666)


def sizes_in(folder: Place) -> dict[str, int]:
    """Sizes in bytes of the files that lie in a folder, by name."""
    if isinstance(folder, RemotePath):
        return {name: size for name, size in folder.sizes().items() if "/" not in name}
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}


def mark_of(file: Place) -> tuple[str | int | float, ...]:
    """What changes when a file is replaced or written to. Raises FileNotFoundError."""
    if isinstance(file, RemotePath):
        return tuple(file.stat())
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def marks_in(place: Place) -> list[list[str | int | float]]:
    """The name and :func:`mark_of` of a file, or of all that lie in a folder and the folders in it."""
    if isinstance(place, RemotePath):
        return [[name, *map(str, mark)] for name, mark in sorted(place.marks().items())]
    files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    return [[str(file), *mark_of(file)] for file in files]


@contextmanager
def opened(file: Place) -> Iterator[Any]:
    """A file to read from at any place of it. Raises FileNotFoundError."""
    with ObjectReader(file) if isinstance(file, RemotePath) else file.open("rb") as stream:
        yield stream


def remove_folder(folder: Place) -> None:
    """Remove a folder and what lies in it."""
    if isinstance(folder, RemotePath):
        for name in folder.sizes():
            RemotePath(f"{folder}/{name}").unlink(missing_ok=True)
    else:
        shutil.rmtree(folder)


def remove_empty(folder: Place) -> None:
    """Remove a folder of this machine if nothing is in it."""
    if isinstance(folder, Path):
        with suppress(OSError):
            folder.rmdir()


def table_uri(place: Place) -> str:
    """What the Delta library is told of where a table is."""
    return str(place.absolute())


def commit_options(place: Place) -> dict[str, Any] | None:
    """What the Delta library is told beside the place of a table."""
    return dict(client.settings(place.scheme)) if isinstance(place, RemotePath) else None
