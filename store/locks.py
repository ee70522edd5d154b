"""Locks by which processes tell each other what they use; the system lets go of them when a process ends.

    a version of a table   held, shared, by those who read it: its commit's file in the log is locked
    a file being written   held by the one who writes it
    a table                held by the one who deletes, compacts, vacuums or repairs it
    a folder of work       held, shared, by those who use it (enc.store.work)
    a table's spec.json    held by an estimator that encodes: others wait, and find its features

Where a file system or an object store has no locks, nothing is locked, and what may be in use is never
removed.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, SupportsIndex

from . import places
from .places import Place

LOG_FOLDER = "_delta_log"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)


class Lock:
    """A lock on a file that is there, until :meth:`release`, or until nothing refers to the lock."""

    _close = staticmethod(os.close)  # when the interpreter ends, this module's names may go before the lock

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def release(self) -> None:
        """Let others have the file."""
        if self.descriptor >= 0:
            self._close(self.descriptor)
        self.descriptor = -1

    def __del__(self) -> None:
        self.release()


def commit_file(folder: Any, version: int) -> Any:
    """The file of a table's log that holds a commit."""
    return folder / LOG_FOLDER / f"{version:020}.json"


def version_lock(folder: Place, version: int) -> Lock | None:
    """A shared lock on a table's version; None where there is nothing to lock."""
    try:
        descriptor = places.descriptor(commit_file(folder, version), os.O_RDONLY)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return Lock(descriptor)


def is_version_in_use(folder: Place, version: int) -> bool:
    """Whether a living process reads a version, or nobody can tell."""
    try:
        lock = exclusive_lock(commit_file(folder, version))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if lock:
        lock.release()
    return lock is None


def exclusive_lock(path: Place, *, create: bool = False) -> Lock | None:
    """A lock on a file that nobody else has; None where another process has it.

    With ``create`` the file is made where it is not there. Raises OSError where the file cannot be locked at
    all.
    """
    while True:
        descriptor = places.descriptor(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY)
        lock = Lock(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.release()
            return None
        except OSError:
            lock.release()
            raise
        # Another process may have removed the file before it was locked.
        if not create or _is_there(path, descriptor):
            return lock
        lock.release()


def shared_lock(path: Place) -> Lock:
    """A lock on a file, which is made where it is not there, that others may have too, and none exclusively.

    Raises OSError where the file cannot be locked at all.
    """
    while True:
        descriptor = places.descriptor(path, os.O_RDWR | os.O_CREAT)
        lock = Lock(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            lock.release()
            raise
        if _is_there(path, descriptor):
            return lock
        lock.release()


@contextmanager
def one_at_a_time(path: Place) -> Iterator[None]:
    """Wait until no other process is in such a block for the same file, which is there.

    Where files cannot be locked, nobody waits.
    """
    lock = None
    with suppress(OSError):
        lock = Lock(places.descriptor(path, os.O_RDONLY))
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if lock:
            lock.release()


def has_no_locks(error: OSError) -> bool:
    """Whether an error says that a file system cannot lock files."""
    return error.errno in _UNSUPPORTED


class ShardPaths(list[str]):
    """Paths of shards. Their table's version is held as long as this list is."""

    def __init__(self, paths: Iterable[str], lock: Lock | None):
        super().__init__(paths)
        self._lock = lock

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (list(self),)  # another process holds nothing


def _is_there(path: Place, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(str(path)), os.fstat(descriptor))
    except FileNotFoundError:
        return False
