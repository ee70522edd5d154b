"""Copies of files of an object store, for as long as this process runs."""

import atexit
import hashlib
import shutil
import tempfile
from functools import cache, lru_cache
from pathlib import Path

from ..errors import PlaceError
from .place import Place, place_of
from .remote import RemotePath


def is_url(path: object) -> bool:
    """Whether a path is a URL, also one whose slashes pathlib has put together."""
    scheme, colon, rest = str(path).partition(":")
    return colon == ":" and rest.startswith("/") and len(scheme) > 1 and scheme.isalnum()


def local_files(name: str) -> list[str] | None:
    """Copies of the files that a URL, or a glob of them, names; None for what is no URL.

    Raises PlaceError for a folder and for what is not there. A file is fetched once in a process, which so
    sees one state of it.
    """
    if not is_url(name):
        return None
    wild = next((at for at, letter in enumerate(name) if letter in "*?["), None)
    if wild is None:
        place = RemotePath(name)
        if not place.is_file():
            raise PlaceError(
                f"'{name}' is a folder; name its files, for example '{name.rstrip('/')}/*.parquet'"
                if place.is_dir()
                else f"no file '{name}'"
            )
        return [_copied(str(place))]
    folder, _, _ = name[:wild].rpartition("/")
    found = sorted(str(path) for path in RemotePath(folder).glob(name[len(folder) + 1 :]))
    if not found:
        raise PlaceError(f"no file '{name}'")
    return [_copied(url) for url in found]


def local_folder(path: "str | Place") -> Path:
    """A folder of this machine with the files of a folder; a local one is itself. Raises PlaceError."""
    if isinstance(path, Path) or not is_url(path):
        return Path(str(path))
    place = place_of(path)
    files = [_copied(str(file)) for file in place.files()] if isinstance(place, RemotePath) else []
    if not files:
        raise PlaceError(f"there is nothing in '{path}'")
    return Path(files[0]).parent


@cache
def _copied(url: str) -> str:
    place = RemotePath(url)
    file = _folder_for(url) / place.name
    place.download(file)
    return str(file)


def _folder_for(url: str) -> Path:
    folder = _scratch() / hashlib.sha256(url.rpartition("/")[0].encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    return folder


@lru_cache(maxsize=1)
def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="enc-copies-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
