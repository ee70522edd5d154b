"""Where an unfinished output lies, and the lock by which one run at a time has it."""

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path

from ...store import SourceError
from ...store.locks import Lock, exclusive_lock, has_no_locks
from .jobs import UNFINISHED

_LONGEST_NAME = 200  # bytes; longer ones are shortened, so that the folder's name fits where the file's does


def folder_of(output: str | Path) -> Path:
    """Where the unfinished output lies."""
    text = str(output)
    if Path(text).is_dir() or text.endswith(("/", os.sep)):
        return Path(text) / UNFINISHED
    path = Path(text)
    name = path.name.encode()
    if len(name) > _LONGEST_NAME:
        short = name[:100].decode(errors="ignore")
        return path.with_name(f"{short}-{hashlib.sha256(name).hexdigest()[:16]}{UNFINISHED}")
    return path.with_name(f"{path.name}{UNFINISHED}")


def locked(folder: Path) -> tuple[Path, Lock | None]:
    """The folder, made if need be, and a lock on it; where there are no locks, a folder of one's own.

    Raises SourceError where another process has the lock.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = exclusive_lock(folder / "lock", create=True)
        except FileNotFoundError:  # the run that had it has just finished
            continue
        except OSError as error:
            if not has_no_locks(error):
                raise
            (folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
            own = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
            own.mkdir(parents=True)
            return own, None
        if lock is None:
            raise SourceError(
                f"another process is writing this output (it holds '{folder}'); wait for it, or choose "
                "another output"
            )
        return folder, lock
