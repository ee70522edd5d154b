"""A path in an object store, with as much of pathlib's methods as the store needs."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import PlaceError
from . import client

SCHEMES = ("s3", "gs", "az")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/]*)/?(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PAGE = 1000  # names that a store lists at a time


class Stat(NamedTuple):
    """What is known of an object."""

    st_size: int
    st_mtime: float
    e_tag: str


class RemotePath:
    """A URL of an object, or of what begins with it.

    Raises PlaceError for a URL of another kind, for a store that cannot be reached, and for credentials that
    are missing or wrong; FileNotFoundError for an object that is not there.
    """

    def __init__(self, url: str):
        found = _URL.fullmatch(url)
        if not found or found[1] not in SCHEMES:
            raise PlaceError(
                f"'{_hidden(url)}' is no place; there are {', '.join(s + '://' for s in SCHEMES)}"
            )
        self.scheme, self.bucket = found[1], found[2]
        if "@" in self.bucket or ":" in self.bucket:
            raise PlaceError(
                f"'{_hidden(url)}': credentials and ports have no place in a URL; set them in the environment"
            )
        parts = [part for part in found[3].split("/") if part]
        if not _BUCKET.fullmatch(self.bucket) or any(map(_is_odd, parts)):
            raise PlaceError(
                f"'{url}' is no plain place; it is {self.scheme}://BUCKET/FOLDER, without '..', '%', '?', '#'"
            )
        self.parts: tuple[str, ...] = tuple(parts)

    @property
    def key(self) -> str:
        """The name in the bucket."""
        return "/".join(self.parts)

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1] if self.parts else self.bucket

    @property
    def suffix(self) -> str:
        """The ending of the name."""
        return Path(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).stem

    @property
    def parent(self) -> "RemotePath":
        """The folder around it; a bucket's is the bucket."""
        return self._with(self.parts[:-1])

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(f"{self}/{name}")

    def with_name(self, name: str) -> "RemotePath":
        """The place beside this one that has another name."""
        if not self.parts:
            raise PlaceError(f"'{self}' is a whole bucket; name a folder in it")
        return self.parent / name

    def absolute(self) -> "RemotePath":
        """Itself."""
        return self

    def __str__(self) -> str:
        return "/".join((f"{self.scheme}://{self.bucket}", *self.parts))

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: "RemotePath") -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def exists(self) -> bool:
        """Whether there is such an object, or one that lies in it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether an object lies in it."""
        return next(self._objects(), None) is not None

    def stat(self) -> Stat:
        """Size in bytes, when it was last written, in seconds since 1970, and a mark of its content."""
        if not self.parts:
            raise FileNotFoundError(2, "no object", str(self))
        import obstore

        meta = self._attempt(lambda: obstore.head(self._client(), self.key))
        return Stat(meta["size"], meta["last_modified"].timestamp(), str(meta.get("e_tag")))

    def iterdir(self) -> "Iterator[RemotePath]":
        """Objects and folders that lie in it."""
        import obstore

        found = self._attempt(lambda: obstore.list_with_delimiter(self._client(), self.key or None))
        names = [*(meta["path"] for meta in found["objects"]), *found["common_prefixes"]]
        return (self._with(tuple(name.rstrip("/").split("/"))) for name in names)

    def glob(self, pattern: str) -> "Iterator[RemotePath]":
        """Objects in it whose path from here matches: ``*`` stands for what has no slash, ``**`` for any."""
        folder, fixed = self, pattern.split("/")
        while len(fixed) > 1 and not re.search(r"[*?[]", fixed[0]):
            folder, fixed = folder / fixed[0], fixed[1:]
        matches = _pattern("/".join(fixed))
        depth = len(folder.parts)
        objects = folder.files() if fixed == [fixed[0]] and "**" not in fixed[0] else folder._objects()
        return (path for path in objects if matches.fullmatch("/".join(path.parts[depth:])))

    def files(self) -> "Iterator[RemotePath]":
        """Objects that lie in it, without those of folders in it."""
        depth = len(self.parts) + 1
        return (path for path in self._objects() if len(path.parts) == depth)

    def sizes(self) -> dict[str, int]:
        """Sizes in bytes of the objects in it, by their path from here."""
        depth = len(self.key) + 1 if self.parts else 0
        return {meta["path"][depth:]: meta["size"] for meta in self._metas()}

    def marks(self) -> dict[str, tuple[object, ...]]:
        """What changes when an object in it is replaced, by the object's path from here."""
        depth = len(self.key) + 1 if self.parts else 0
        return {
            meta["path"][depth:]: (meta.get("e_tag"), meta["size"], meta["last_modified"])
            for meta in self._metas()
        }

    def read_bytes(self) -> bytes:
        """The whole object."""
        return bytes(self._get()[0])

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding)

    def tail(self, size: int) -> tuple[bytes, int]:
        """The last bytes of an object, at most ``size`` of them, and its size."""
        return self._get({"range": {"suffix": size}})

    def ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[bytes]:
        """Bytes of the object from each start to before each stop."""
        import obstore

        def get() -> list[bytes]:
            read = obstore.get_ranges(self._client(), self.key, starts=starts, ends=stops)
            found = [bytes(part) for part in read]
            if [len(part) for part in found] != [b - a for a, b in zip(starts, stops, strict=True)]:
                raise ConnectionError("a body was cut off")
            return found

        return self._attempt(get)

    def write_bytes(self, data: bytes, *, new: bool = False) -> None:
        """Write the whole object; with ``new`` raises FileExistsError where it is there."""
        import obstore

        mode: Any = "create" if new else "overwrite"
        self._attempt(lambda: obstore.put(self._client(), self.key, data, mode=mode, use_multipart=False))

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write the whole object as text."""
        self.write_bytes(text.encode(encoding))

    def upload(self, file: Path) -> None:
        """Put a file here; what was here before stays whole until then."""
        import obstore

        def put() -> None:
            obstore.put(self._client(), self.key, file)
            if self.stat().st_size != file.stat().st_size:
                raise ConnectionError("not all of the file has arrived")

        self._attempt(put)

    def download(self, file: Path) -> None:
        """Write the whole object to a file."""
        import obstore

        def get() -> None:
            found = obstore.get(self._client(), self.key)
            size, written = found.meta["size"], 0
            with open(file, "wb") as target:
                for block in found.stream(min_chunk_size=1 << 20):
                    written += target.write(block)
            if written != size:
                raise ConnectionError("a body was cut off")

        self._attempt(get)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        import obstore

        try:
            self._attempt(lambda: obstore.delete(self._client(), self.key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: an object store has no folders of its own."""

    def _with(self, parts: tuple[str, ...]) -> "RemotePath":
        return RemotePath("/".join((f"{self.scheme}://{self.bucket}", *parts)))

    def _client(self) -> Any:
        return client.client(self.scheme, self.bucket, client.environment(self.scheme))

    def _attempt(self, action: Any) -> Any:
        return client.attempt(action, self.scheme, self.bucket, str(self))

    def _get(self, options: Any = None) -> tuple[bytes, int]:
        import obstore

        def get() -> tuple[bytes, int]:
            found = obstore.get(self._client(), self.key, options=options)
            data, (start, stop) = bytes(found.bytes()), found.range
            if len(data) != stop - start:
                raise ConnectionError("a body was cut off")
            return data, found.meta["size"]

        return self._attempt(get)

    def _page(self, last: str | None) -> Any:
        import obstore

        return next(obstore.list(self._client(), self.key or None, offset=last, chunk_size=_PAGE), [])

    def _metas(self) -> Iterator[Any]:
        last: str | None = None
        while True:  # a list that broke off goes on behind the last name
            page = self._attempt(partial(self._page, last))
            if not page:
                return
            yield from page
            last = page[-1]["path"]

    def _objects(self) -> "Iterator[RemotePath]":
        return (self._with(tuple(meta["path"].split("/"))) for meta in self._metas())


def _is_odd(part: str) -> bool:
    """Whether a part of a path is not the same for everyone who reads it."""
    return part in (".", "..") or bool(re.search(r"[%?#\\\x00-\x1f\x7f]", part))


def _hidden(url: str) -> str:
    """A URL without credentials in it."""
    return re.sub(r"//[^/@]*@", "//…@", url)


def _pattern(glob: str) -> "re.Pattern[str]":
    parts = []
    for part in glob.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
            continue
        one = translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*")
        parts.append(one + "/")
    return re.compile("".join(parts).removesuffix("/"), re.DOTALL)
