"""What a user named: a path of this machine, or a URL."""

import errno
import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import PlaceError
from . import client
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


def table_uri(place: Place) -> str:
    """What the Delta library is told of where a table is."""
    return str(place.absolute())


def commit_options(place: Place) -> dict[str, Any] | None:
    """What the Delta library is told beside the place of a table."""
    return dict(client.settings(place.scheme)) if isinstance(place, RemotePath) else None
