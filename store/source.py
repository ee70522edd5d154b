"""Where texts and labels come from: anything DuckDB can read."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import SourceError
from .nearest import did_you_mean, did_you_mean_path, unknown
from .places import listed_files, local_file

FORMATS = {
    "tsv": (".tsv", ".tab"),
    "csv": (".csv",),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
}
_COMPRESSIONS = (".gz", ".zst")
_WORKBOOKS = (".xlsx", ".xls", ".ods")
PAIRS = ("joint", "separate")
"""How pairs of texts are encoded: both as one input, or each text by itself."""


@dataclass(frozen=True)
class Source:
    """A set of rows with a text, or a pair of texts, in each.

    >>> Source("reviews/*.tsv", text_column="sentence", where="label IS NOT NULL")
    """

    paths: Sequence[str | Path] | str | Path = ()
    """Files or globs: TSV, CSV, JSON lines or Parquet. Beside a query, the files that the query reads."""
    text_column: str | None = None
    """Column of the text; ``sentence`` or ``text`` where it is not given."""
    pair_column: str | None = None
    """Column of the second text, for sentence pairs; ``text_column`` must then be named, too."""
    query: str | None = None
    """A SELECT that gives the rows. It can read ``paths`` and ``allowed_paths``, and nothing else."""
    where: str | None = None
    """A SQL condition over the source's columns; rows outside it are not rows of this source."""
    format: str | None = None
    """One of FORMATS; from the file's ending where it is not given."""
    columns: Sequence[str] = ()
    """Names of the columns, for TSV and CSV files without a header line."""
    has_header: bool = True
    """Whether the first line of TSV and CSV files names their columns; else these are column0, column1, …"""
    allowed_paths: Sequence[str | Path] = ()
    """Files and folders that the query and the condition can read, too."""
    pairs: str = "joint"
    """One of PAIRS. With ``separate``, a text has the same features in every pair, and as a single text."""

    def __post_init__(self) -> None:
        paths = (self.paths,) if isinstance(self.paths, (str, Path)) else tuple(self.paths)
        object.__setattr__(self, "paths", tuple(map(str, paths)))
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "allowed_paths", tuple(map(str, self.allowed_paths)))
        if not paths and not self.query:
            raise SourceError("which rows? name files as SOURCE…, or give a query: --query 'SELECT …'")
        if self.pair_column is not None and self.text_column is None:
            raise SourceError(
                f"with --pair-column {self.pair_column}, name the first text, too: pass --text-column"
            )
        if self.pair_column is not None and self.pair_column == self.text_column:
            raise SourceError(
                f"column '{self.text_column}' cannot be both texts of a pair; pass another --pair-column"
            )
        if self.pairs not in PAIRS:
            raise SourceError(unknown("way to encode pairs", self.pairs, PAIRS))
        if self.is_separate and self.pair_column is None:
            raise SourceError("--pairs separate is for pairs of texts: name the second text, --pair-column")
        if self.format is not None and self.format not in FORMATS:
            raise SourceError(unknown("format", self.format, FORMATS))

    @property
    def is_separate(self) -> bool:
        """Whether each text of a pair is encoded by itself."""
        return self.pairs == "separate"

    @property
    def title(self) -> str:
        """How messages name this source."""
        return "the query" if self.query else " ".join(map(str, self.names))

    @property
    def arguments(self) -> str:
        """How a command line names this source."""
        query = [f'--query "{self.query}"'] if self.query else []
        return " ".join([*self.names, *query])

    @property
    def names(self) -> tuple[str, ...]:
        """Files or globs, as they were given."""
        return tuple(map(str, self.paths)) if not isinstance(self.paths, (str, Path)) else (str(self.paths),)

    def file_names(self) -> list[str]:
        """The files: globs expanded and sorted, each file once; those of object stores are not fetched.

        Raises SourceError for one that is not there.
        """
        found: dict[str, None] = {}
        for name in self.names:
            listed = listed_files(name)
            if listed is not None:
                found.update(dict.fromkeys(listed))
                continue
            path = Path(name)
            if path.is_dir():
                raise SourceError(f"'{name}' is a folder; name its files, for example '{path / '*.parquet'}'")
            matches = (
                [name]
                if path.is_file()
                else sorted(filter(lambda p: Path(p).is_file(), glob.glob(name, recursive=True)))
            )
            if not matches:
                is_query = re.match(r"\s*(select|from|with)\s", name, re.IGNORECASE)
                way_out = "; pass SQL with --query" if is_query else did_you_mean_path(name)
                raise SourceError(f"no file '{name}'{way_out}")
            found.update(dict.fromkeys(matches))
        return list(found)

    def files(self) -> list[str]:
        """The files of :meth:`file_names`, and copies of those of object stores."""
        return [local_file(name) for name in self.file_names()]

    def format_of(self, file: str) -> str:
        """The format that a file is read as."""
        if self.format:
            return self.format
        suffixes = [s.lower() for s in Path(file).suffixes if s.lower() not in _COMPRESSIONS]
        for name, endings in FORMATS.items():
            if suffixes and suffixes[-1] in endings:
                return name
        if suffixes and suffixes[-1] in _WORKBOOKS:
            raise SourceError(f"'{file}' is a workbook, which enc does not read; save it as CSV in UTF-8")
        raise SourceError(
            f"cannot tell the format of '{file}' from its ending; pass --format {'|'.join(FORMATS)}"
        )


def with_text_columns(source: Source, text_column: str | None, pair_column: str | None) -> Source:
    """The source with these columns of the texts, where they are named."""
    if text_column is None and pair_column is None:
        return source
    return replace(
        source,
        text_column=text_column or source.text_column,
        pair_column=pair_column or source.pair_column,
    )


def pick_columns(source: Source, columns: Sequence[str], file: str) -> tuple[str, str | None]:
    """The columns of the text and, for pairs, of the second text.

    Raises SourceError, which lists the columns there are, where one is not there.
    """
    text = source.text_column or next((name for name in ("sentence", "text") if name in columns), None)
    if text is None:
        raise SourceError(
            f"which column of {file} is the text? it has: {', '.join(columns)}; pass --text-column"
            f"{_header_hint(source, columns, file)}"
        )
    require_column(text, source, columns, file, "--text-column")
    if source.pair_column is not None:
        require_column(source.pair_column, source, columns, file, "--pair-column")
    return text, source.pair_column


def require_column(name: str, source: Source, columns: Sequence[str], file: str, flag: str) -> None:
    """Raise SourceError, which lists the columns there are, if ``name`` is none of them."""
    if name not in columns:
        raise SourceError(
            f"column '{name}' is not in {file} (it has: {', '.join(columns)}); pass {flag}"
            f"{_header_hint(source, columns, file)}{did_you_mean(name, columns)}"
        )


def _header_hint(source: Source, columns: Sequence[str], file: str) -> str:
    has_header = not source.query and source.format_of(file) in ("tsv", "csv") and source.has_header
    if not has_header or source.columns or not any(map(_looks_like_data, columns)):
        return ""
    return ". These names look like data: if the first line is no header, pass --no-header"


def _looks_like_data(name: str) -> bool:
    is_number = re.fullmatch(r"[-+]?[0-9]+([.,][0-9]+)?", name) is not None
    return is_number or len(name) > 60 or len(name.split()) > 4
