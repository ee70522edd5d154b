"""Temporary folders that are cleared when the process that made them was killed.

The owner holds a lock on a file in its folder; the system lets go of it when the process ends. Whoever makes
the next folder removes the ones beside it whose lock nobody holds.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import WorkspaceError
from .locks import Lock, exclusive_lock, has_no_locks

PREFIX = "enc-"
LOCK_FILE = ".owner"


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A new folder in the temporary folder, removed at the end; folders that killed processes left go, too.

    Raises WorkspaceError where none can be made.
    """
    try:
        clear_left_folders(Path(tempfile.gettempdir()))
        folder, lock = _locked_folder()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno != errno.ENOENT else str(error)
        raise WorkspaceError(
            f"no temporary folder can be made ({reason}); free some space, or set TMPDIR to another folder"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock:
            lock.release()


def _locked_folder() -> tuple[str, Lock | None]:
    """A new folder, and its owner's lock; None where a file system has no locks."""
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        try:
            lock = exclusive_lock(Path(folder, LOCK_FILE), create=True)
        except FileNotFoundError:  # it was taken for a left one before it was locked
            continue
        except OSError as error:
            if not has_no_locks(error):
                shutil.rmtree(folder, ignore_errors=True)
                raise
            Path(folder, LOCK_FILE).unlink(missing_ok=True)
            return folder, None
        if lock:
            return folder, lock


def clear_left_folders(place: Path) -> list[Path]:
    """Remove this user's temporary folders whose owner was killed; returns them."""
    cleared = []
    try:
        with os.scandir(place) as entries:
            found = [
                Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and _is_own(entry)
            ]
    except OSError:
        return []
    for folder in found:
        try:
            lock = exclusive_lock(folder / LOCK_FILE)
        except OSError:  # a release without locks made it, or it is gone
            continue
        if lock is None:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        cleared.append(folder)
    return cleared


def _is_own(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False
