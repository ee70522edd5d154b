"""The folder of a store in which jobs keep what they go on with after an interruption: ``_work/ID/``.

Who uses such a folder holds a shared lock on a file in it; in an object store, which has no locks, a lease
(:mod:`.places.leases`). The file is written anew, so that its age tells when the folder was used last. Who
finishes last removes the folder; what nobody finishes goes by vacuum.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .locks import Lock, exclusive_lock, shared_lock
from .places import Place, has_locks, leased, place_of, remove_empty, remove_folder, remove_unleased

WORK_FOLDER = "_work"
_USED = "used"
SAFE_HOURS = 24.0  # a folder of an object store that was used later may be in use


@dataclass(frozen=True)
class LeftWork:
    """A folder of work that :func:`vacuum_work` removed, or would remove."""

    folder: str
    files: int
    bytes: int


def work_folder(store: Place, identity: str) -> Place:
    """The folder of a job in a store."""
    return store / WORK_FOLDER / identity


@contextmanager
def using(folder: Place) -> Iterator[None]:
    """During a block, nobody removes the folder; it is made where it is not there."""
    lock = _held(folder)
    try:
        with leased(folder):
            (folder / _USED).write_bytes(b"")
            yield
    finally:
        if lock:
            lock.release()
        if all(path.name == _USED for path in folder.iterdir()):
            remove_work(folder)


def _held(folder: Place) -> Lock | None:
    """A shared lock of a folder; None where files cannot be locked."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return shared_lock(folder / _USED)
        except FileNotFoundError:  # another process has just removed it
            continue
        except OSError:
            return None


def remove_work(folder: Place) -> bool:
    """Remove a folder of work, unless another process uses it; returns whether it is gone."""
    lock = None
    try:
        if has_locks(folder):
            lock = exclusive_lock(folder / _USED)
            if lock is None:
                return False
            remove_folder(folder)
        elif not remove_unleased(folder):
            return False
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        if lock:
            lock.release()
    remove_empty(folder.parent)
    return True


def vacuum_work(store: str | Place, *, retain_hours: float, dry_run: bool = False) -> list[LeftWork]:
    """Remove folders of work that were last used more than ``retain_hours`` ago, and that nobody uses.

    In an object store, which has no locks, they are at least SAFE_HOURS old.
    """
    place = place_of(store) / WORK_FOLDER
    left: list[LeftWork] = []
    if not place.is_dir():
        return left
    hours = retain_hours if has_locks(place) else max(retain_hours, SAFE_HOURS)
    for folder in sorted(one for one in place.iterdir() if one.is_dir()):
        found = [file.stat() for file in folder.iterdir()]
        newest = max((one.st_mtime for one in found), default=0.0)
        if time.time() - newest < hours * 3600 or _is_used(folder):
            continue
        if dry_run or remove_work(folder):
            left.append(LeftWork(str(folder), len(found), sum(one.st_size for one in found)))
    return left


def _is_used(folder: Place) -> bool:
    try:
        lock = exclusive_lock(folder / _USED)
    except FileNotFoundError:
        return False
    except OSError:  # of an object store the age tells, and elsewhere nobody can
        return has_locks(folder)
    if lock:
        lock.release()
    return lock is None
