"""What a run has finished, line by line in a file, so that the next run knows it after any interruption."""

import json
import os
from pathlib import Path
from typing import Any
from zlib import crc32

from .files import named_errors, sync


class Journal:
    """A file of JSON objects, one a line, each behind its checksum.

    A line that was not written whole is as if it were not there, and so are all after it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.entries: list[dict[str, Any]] = []
        """Those in the file, in order."""
        self._end = 0  # of what is sound in the file
        self._is_named = False  # for certain, on the disk
        if self.path.exists():
            with open(self.path, "rb") as file:
                for line in file:
                    entry = _read(line)
                    if entry is None:
                        break
                    self.entries.append(entry)
                    self._end += len(line)

    def append(self, entry: dict[str, Any], *, is_urgent: bool = True) -> None:
        """Add an entry, which is on the disk when this returns; one that is not urgent, with the next."""
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
        with named_errors(self.path):
            is_new = not self.path.exists()
            with open(self.path, "ab" if is_new else "r+b") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(b"%08x %s\n" % (crc32(text), text))
                file.flush()
                if is_urgent:
                    os.fsync(file.fileno())
                self._end = file.tell()
            if is_urgent and not self._is_named:
                sync(self.path.parent)
                self._is_named = True
        self.entries.append(entry)


def _read(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % crc32(text):
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
