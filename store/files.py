"""Files and folders that are written whole or not at all."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import EncError


@contextmanager
def replaced_file(path: str | Path) -> Iterator[Path]:
    """A new file to write, which takes the place of ``path`` when the block ends without an error.

    The new file lies beside ``path`` and has the same ending. Its content is on the disk before it
    takes its place. When the block raises, the new file is removed and ``path`` stays as it was. Threads
    and processes may replace one path at the same time: the last one wins. An OSError that names no
    file is given the name of ``path``.
    """
    path = Path(path)
    new = _beside(path)
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield new
            sync(new)
            new.replace(path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: str | Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of ``folder`` when the block ends without an error.

    When the block raises, the new folder is removed and ``folder`` stays as it was. Threads and
    processes may replace one folder at the same time: the last one wins.
    """
    folder = Path(folder)
    new = _beside(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new.mkdir()
    try:
        yield new
        for path in sorted(new.rglob("*")):
            sync(path)
        _move_in_place(new, folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """During a block, an OSError that names no file is given the name of ``path``."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync(path: str | Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do this for folders; there is nothing to wait for then.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def require_replaceable(folder: Path, marker: str, error: type[EncError], kind: str) -> None:
    """Raise ``error`` if writing a ``kind`` to ``folder`` would destroy anything else.

    A folder in which there is a file ``marker`` is a ``kind``.
    """
    if folder.exists() and not (folder / marker).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise error(f"'{folder}' is there and is not {kind}; choose another --output")


def require_writable(folder: str | Path, error: type[EncError]) -> None:
    """Raise ``error`` for a folder in which no file can be made, or which cannot be made itself."""
    folder = Path(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise error(f"'{folder}' cannot be written ({reason}); choose another folder") from problem


def _beside(path: Path) -> Path:
    """A name in the same folder that no other thread, process or machine uses, and that is not too long."""
    return path.with_name(f".{path.stem[:32]}-{uuid.uuid4().hex}{path.suffix[:16]}")


def _move_in_place(new: Path, folder: Path) -> None:
    old = new.with_name(f"{new.name}-old")
    while True:
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            new.rename(folder)
            break
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                _remove(old)  # another process was quicker: replace its folder
                continue
            with suppress(OSError):
                old.rename(folder)
            raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
