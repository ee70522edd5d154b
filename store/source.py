"""Where texts and labels come from: anything DuckDB can read."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import SourceError

FORMATS = {
    "tsv": (".tsv", ".tab"),
    "csv": (".csv",),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
}
_COMPRESSIONS = (".gz", ".zst")


@dataclass(frozen=True)
class Source:
    """A set of rows with a text, or a pair of texts, in each.

    >>> Source("reviews/*.tsv", text_column="sentence", where="label IS NOT NULL")
    """

    paths: Sequence[str | Path] | str | Path = ()
    """Files or globs: TSV, CSV, JSON lines or Parquet."""
    text_column: str | None = None
    """Column of the text; ``sentence`` or ``text`` where it is not given."""
    pair_column: str | None = None
    """Column of the second text, for sentence pairs."""
    query: str | None = None
    """A SELECT in place of files."""
    where: str | None = None
    """A SQL condition over the source's columns; rows outside it are not rows of this source."""
    format: str | None = None
    """One of FORMATS; from the file's ending where it is not given."""
    columns: Sequence[str] = ()
    """Names of the columns, for TSV and CSV files without a header line."""

    def __post_init__(self) -> None:
        paths = (self.paths,) if isinstance(self.paths, (str, Path)) else tuple(self.paths)
        object.__setattr__(self, "paths", tuple(map(str, paths)))
        if bool(paths) == bool(self.query):
            raise SourceError("give either files or a query: SOURCE… or --query 'SELECT …'")
        if self.format is not None and self.format not in FORMATS:
            raise SourceError(f"unknown format '{self.format}'; there are {', '.join(FORMATS)}")

    @property
    def title(self) -> str:
        """How messages name this source."""
        return "the query" if self.query else " ".join(map(str, self._names))

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(map(str, self.paths)) if not isinstance(self.paths, (str, Path)) else (str(self.paths),)

    def files(self) -> list[str]:
        """The files: globs expanded and sorted, each file once.

        Raises SourceError for one that is not there.
        """
        found: dict[str, None] = {}
        for name in self._names:
            path = Path(name)
            if path.is_dir():
                raise SourceError(f"'{name}' is a folder; name its files, for example '{path / '*.parquet'}'")
            matches = (
                [name]
                if path.is_file()
                else sorted(filter(lambda p: Path(p).is_file(), glob.glob(name, recursive=True)))
            )
            if not matches:
                raise SourceError(f"no file '{name}'")
            found.update(dict.fromkeys(matches))
        return list(found)

    def format_of(self, file: str) -> str:
        """The format that a file is read as."""
        if self.format:
            return self.format
        suffixes = [s.lower() for s in Path(file).suffixes if s.lower() not in _COMPRESSIONS]
        for name, endings in FORMATS.items():
            if suffixes and suffixes[-1] in endings:
                return name
        raise SourceError(
            f"cannot tell the format of '{file}' from its ending; pass --format {'|'.join(FORMATS)}"
        )


def pick_text_column(asked: str | None, columns: Sequence[str], title: str) -> str:
    """The column asked for, or the usual one. Raises SourceError that lists the columns there are."""
    if asked is None:
        asked = next((name for name in ("sentence", "text") if name in columns), None)
        if asked is None:
            raise SourceError(
                f"which column of {title} is the text? it has: {', '.join(columns)}; pass --text-column"
            )
    return require_column(asked, columns, title, "--text-column")


def require_column(name: str, columns: Sequence[str], title: str, flag: str) -> str:
    """``name``, if it is one of ``columns``; else a SourceError that lists them."""
    if name not in columns:
        raise SourceError(f"column '{name}' is not in {title} (it has: {', '.join(columns)}); pass {flag}")
    return name
