"""How much the cache of shards holds, and what leaves it first.

Processes tell each other which files they use by locks on single bytes of one file, one byte for each file's
name: so a table may have any number of shards. A file that somebody uses keeps what it holds. Where the
file system has no locks, nothing leaves.
"""

import fcntl
import hashlib
import os
import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import NotMapped, WorkspaceError

BOUND = "ENC_SHARD_CACHE_GB"
_LOCK_FILE = "in-use.lock"
_SHARE = 0.5  # of the disk, of what is free or the cache's own, unless the bound is set
_MARGIN = 256 << 20  # bytes that are left free on the disk
_COUNT_SECONDS = 60.0  # other processes fill the cache, too
_guard = threading.RLock()
_used: Counter[str] = Counter()
_files: dict[tuple[int, str], int] = {}
_counted: dict[str, tuple[float, int]] = {}
"""When the bytes of a cache were counted, and how many they are now."""


class CacheFull(NotMapped):
    """Features are to be mapped that the cache has no room for."""


def hold(top: Path, path: str, owner: Any) -> None:
    """Keep what a file of the cache holds as long as ``owner`` lives, or this process."""
    if not path.startswith(f"{top}{os.sep}"):
        return
    with _guard:
        _used[path] += 1
        with suppress(OSError):  # there are no locks, and nothing is emptied
            fcntl.lockf(_lock_file(top), fcntl.LOCK_SH, 1, _byte(path))  # emptying takes moments
    weakref.finalize(owner, _let_go, top, path)


def _let_go(top: Path, path: str) -> None:
    with _guard:
        _used[path] -= 1
        if not _used[path]:
            del _used[path]
            with suppress(OSError):
                fcntl.lockf(_lock_file(top), fcntl.LOCK_UN, 1, _byte(path))


def make(top: Path, size: int, empty: Callable[[Path], bool]) -> bool:
    """See that ``size`` bytes more may be written to the cache; ``empty`` takes the features out of a file.

    Files that were not used for the longest time are emptied first. Returns False where that is not enough.
    """
    with _guard:
        bound = _bound(top)
        when, used = _counted.get(str(top), (0.0, 0))
        if time.monotonic() - when > _COUNT_SECONDS:
            used = sum(held for held, _, _ in _listed(top))
            when = time.monotonic()
        if used + size > bound or shutil.disk_usage(top).free < size + _MARGIN:
            used = _emptied(top, bound - size, empty)
        fits = used + size <= bound and shutil.disk_usage(top).free >= size + min(_MARGIN, bound)
        _counted[str(top)] = when, used + size if fits else used
        return fits


def _emptied(top: Path, wanted: int, empty: Callable[[Path], bool]) -> int:
    """Empty files until the cache has some room beside what is wanted; returns the bytes that are left."""
    files = sorted(_listed(top), key=lambda file: file[1])
    used = sum(held for held, _, _ in files)
    for held, _, path in files:
        if used <= wanted * 0.9:
            break
        if str(path) in _used or path.name.startswith("."):  # or it is being written
            continue
        try:
            lock, byte = _lock_file(top), _byte(str(path))
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            continue
        try:
            empty(path)
            used -= held - _held(path)
        finally:
            fcntl.lockf(lock, fcntl.LOCK_UN, 1, byte)
    return used


def _listed(top: Path) -> list[tuple[int, float, Path]]:
    """Bytes on the disk, time of last use, and path of each file."""
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            try:
                stat = path.stat()
            except OSError:
                continue
            if path.suffix == ".parquet" or name.startswith("."):
                found.append((stat.st_blocks * 512, stat.st_atime, path))
    return found


def _held(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _bound(top: Path) -> int:
    text = os.environ.get(BOUND)
    if text:
        try:
            bound = float(text)
        except ValueError:
            bound = -1.0
        if not 0 <= bound < 1e9:
            raise WorkspaceError(f"{BOUND} is '{text}'; it is a number of gigabytes, such as 100")
        return int(bound * 1e9)
    top.mkdir(parents=True, exist_ok=True)
    _, used = _counted.get(str(top), (0.0, 0))
    return int((shutil.disk_usage(top).free + used) * _SHARE)


def _byte(path: str) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:7], "big")


def _lock_file(top: Path) -> int:
    """The file of locks. It is opened once in a process: closing it would let go of all locks."""
    key = os.getpid(), str(top)
    if key not in _files:
        top.mkdir(parents=True, exist_ok=True)
        _files[key] = os.open(top / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    return _files[key]
