"""Outputs of scoring in an object store: written on this machine first, and put there when they are whole.

What an interrupted run finished stays on this machine, in ``$XDG_CACHE_HOME/enc/outputs``, and the same call
goes on with it there. On another machine it begins anew.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...store import SourceError
from ...store.places import RemotePath, is_url, put_folder, require_puts


@dataclass(frozen=True)
class LocalOutput:
    """Where an output is written on this machine."""

    path: str | Path
    place: RemotePath | None = None
    """Where it goes at the end; None for an output of this machine."""
    folder: Path | None = None
    """Of all that goes there."""

    @property
    def is_copied(self) -> bool:
        """Whether the output is a URL."""
        return self.place is not None

    def named(self, rejects: str | None, outputs: Sequence[str]) -> tuple[str | None, list[str]]:
        """The names of the file of rejects and of the outputs as the user knows them."""
        return (self._url(rejects) if rejects else None), [self._url(name) for name in outputs]

    def _url(self, name: str) -> str:
        if self.place is None or self.folder is None:
            return name
        return f"{self.place}/{Path(name).relative_to(self.folder).as_posix()}"


@contextmanager
def local_output(output: str | Path, *, overwrite: bool) -> Iterator[LocalOutput]:
    """Where to write an output; of a URL, all files are put there when the block ends without an error.

    Raises SourceError for a URL where something is, unless it may ``overwrite``, or nothing can be written.
    """
    if not is_url(output):
        yield LocalOutput(output)
        return
    text = str(output)
    place = RemotePath(text)
    if not place.parts:
        raise SourceError(f"'{text}' is a bucket; name a file in it, or a folder that ends with a slash")
    is_folder = text.endswith("/") or (not place.is_file() and place.is_dir())
    if not overwrite and place.exists():
        raise SourceError(f"'{text}' is there already; pass --overwrite to replace it")
    require_puts(str(place.parent), SourceError)
    folder = _cache() / hashlib.sha256(str(place).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    local = folder / place.name
    if is_folder:
        local.mkdir(exist_ok=True)
    yield LocalOutput(local, place.parent, folder)
    put_folder(folder, place.parent)
    shutil.rmtree(folder, ignore_errors=True)


def _cache() -> Path:
    top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    return top / "enc" / "outputs"
