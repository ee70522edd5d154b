"""Digests of a model's files, remembered by path, size and time, so that they are computed once.

A digest of 90 MB takes a tenth of a second, of a large model several. What is remembered of a file
counts only while its size, inode and times are those of then, and only where the file was not
written in the last moments before: a change within the clock's resolution would not show.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from ...store.files import replaced_file
from .model_files import TOKENIZER_FILES, WEIGHT_FILES, cache_folder

_SETTLED_SECONDS = 2.0
_Stamp = list[int]  # size, inode, and times of change of content and of the entry, in nanoseconds


def digests(folder: Path, *, verify: bool = False) -> tuple[str, str]:
    """SHA-256 of a model folder's weights and of its tokenizer, over the files' names and contents.

    With ``verify`` every file is read again, whatever is remembered of it.
    """
    memory = _Memory(folder, forget=verify)
    found = _digest(folder, WEIGHT_FILES, memory), _digest(folder, TOKENIZER_FILES, memory)
    memory.save()
    return found


def file_digests(folder: Path, files: Iterable[str], *, verify: bool = False) -> dict[str, str]:
    """SHA-256, in hexadecimal, of the content of files by their paths inside a model's folder.

    With ``verify`` every file is read again, whatever is remembered of it.
    """
    memory = _Memory(folder, forget=verify)
    found = {file: memory.digest(folder / file).hex() for file in files}
    memory.save()
    return found


def _digest(folder: Path, patterns: Iterable[str], memory: "_Memory") -> str:
    total = hashlib.sha256()
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(paths):
        total.update(path.name.encode() + b"\0" + memory.digest(path))
    return total.hexdigest()


class _Memory:
    """What is remembered of one folder's files: a JSON file in the cache folder."""

    def __init__(self, folder: Path, *, forget: bool):
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
        self._folder = folder
        self._path = cache_folder() / "digests" / f"{place}.json"
        self._known, self._forget = self._read(), forget
        self._found: dict[str, tuple[_Stamp, str]] = {}

    def digest(self, path: Path) -> bytes:
        """SHA-256 of a file's content."""
        before, name = _stamp(path), path.relative_to(self._folder).as_posix()
        stamp, digest = ([], "") if self._forget else self._known.get(name, ([], ""))
        if stamp != before:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        settled = time.time_ns() - max(before[2:]) > _SETTLED_SECONDS * 1e9
        if settled and _stamp(path) == before:
            self._found[name] = before, digest
        return bytes.fromhex(digest)

    def save(self) -> None:
        """Write what is new; where the folder cannot be written, the next run computes again."""
        known = self._known | self._found
        if known == self._known:
            return
        try:
            with replaced_file(self._path) as part:
                part.write_text(json.dumps(known, indent=1), encoding="utf-8")
        except OSError:
            return

    def _read(self) -> dict[str, tuple[_Stamp, str]]:
        try:
            saved = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: (list(map(int, stamp)), str(digest)) for name, (stamp, digest) in saved.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
