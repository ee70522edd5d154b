"""Files and folders that are written whole or not at all."""

import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import EncError
from .locks import exclusive_lock
from .places import Place, is_url, outgoing


@contextmanager
def replaced_file(path: str | Place) -> Iterator[Path]:
    """A new file to write, which takes the place of ``path`` when the block ends without an error.

    The new file lies beside ``path`` and has the same ending. Its content is on the disk before it
    takes its place. When the block raises, the new file is removed and ``path`` stays as it was. Threads
    and processes may replace one path at the same time: the last one wins. An OSError that names no
    file is given the name of ``path``.
    """
    with outgoing(path) as file, _replaced(file) as new:
        yield new


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    new = _beside(path)
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _owned(new, path):
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
    with _owned(new, folder):
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
    if is_url(folder):
        raise error(f"'{folder}' is no folder of this machine; write there, and copy it to the object store")
    folder = Path(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise error(f"'{folder}' cannot be written ({reason}); choose another folder") from problem


@contextmanager
def _owned(new: Path, path: Path) -> Iterator[None]:
    """During a block, a lock beside a new file or folder tells that its owner lives.

    What killed processes left of ``path`` is removed first.
    """
    _clear_left(path)
    lock_file, lock = _lock_file(new), None
    try:
        # Where there are no locks, nothing is cleared; where nothing can be written, the block will say so.
        with suppress(OSError):
            lock = exclusive_lock(lock_file, create=True)
        yield
    finally:
        with suppress(OSError):
            lock_file.unlink(missing_ok=True)
        if lock:
            lock.release()


def _clear_left(path: Path) -> None:
    """Remove what killed processes left that were about to replace a file or folder."""
    name = f"{re.escape(_stem(path))}-[0-9a-f]{{32}}{re.escape(_suffix(path))}"
    pattern = re.compile(rf"\.{name}\.lock")
    with os.scandir(path.parent) as entries:
        left = [path.with_name(entry.name) for entry in entries if pattern.fullmatch(entry.name)]
    for lock_file in left:
        try:
            lock = exclusive_lock(lock_file)
            if lock:
                _remove(lock_file.with_name(lock_file.name.removesuffix(".lock")))
                lock_file.unlink(missing_ok=True)
                lock.release()
        except OSError:  # it is gone, or nothing can be removed here
            continue


def _lock_file(new: Path) -> Path:
    return new.with_name(f"{new.name}.lock")


def _stem(path: Path) -> str:
    return path.stem[:32]


def _suffix(path: Path) -> str:
    return path.suffix[:16]


def _beside(path: Path) -> Path:
    """A name in the same folder that no other thread, process or machine uses, and that is not too long."""
    return path.with_name(f".{_stem(path)}-{uuid.uuid4().hex}{_suffix(path)}")


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
