"""Into which parts a first pass divides a source, each named after what it is of."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .divisions import divide, division_of
from .errors import SourceError
from .places import Place, is_url, mark_of, marks_in, place_of
from .row_groups import RowGroups, pieces_of
from .source import Source
from .text_file import Lines

_Mark = tuple[str | int | float, ...]


@dataclass(frozen=True)
class Piece:
    """What a part is of: a file, or a piece of a large one, or all that a query reads."""

    file: str
    """As messages name it."""
    bytes: int
    """About how many are read: three times those of a compressed file."""
    groups: RowGroups | None = None
    """Of a Parquet file."""
    lines: Lines | None = None
    """Of a text file."""

    def to_json(self) -> dict[str, Any]:
        """The piece, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Piece":
        """The piece of :meth:`to_json`."""
        groups, lines = told["groups"], told["lines"]
        return cls(
            told["file"],
            told["bytes"],
            RowGroups(**groups) if groups else None,
            Lines(**lines) if lines else None,
        )


def parts_of(source: Source, folder: Place) -> dict[str, Piece]:
    """The pieces of a source by the names of their parts, in the source's order, as its files are now.

    Large text files are divided where the first pass's folder does not tell how they are. Raises SourceError
    for a file that is not there, and for one of no known format.
    """
    if source.query:  # which reads all files at once
        return _part_of_query(source)
    others = _other_marks(source)
    marks = {file: mark_of(place_of(file)) for file in source.file_names()}
    return {
        _name_of(piece, marks[piece.file], others): piece
        for file, mark in marks.items()
        for piece in _pieces(source, file, mark, folder)
    }


def are_known(source: Source, folder: Place) -> bool:
    """Whether it is known into which pieces the source's files are divided: no file has to be looked through.

    Raises SourceError for a file that is not there.
    """
    return bool(source.query) or all(
        division_of(folder, file, mark_of(place_of(file))) is not None
        for file in source.file_names()
        if not is_url(file) and source.format_of(file) != "parquet"
    )


def _part_of_query(source: Source) -> dict[str, Piece]:
    marks = {file: mark_of(place_of(file)) for file in source.file_names()}
    read = sum(_unpacked(file, mark[0]) for file, mark in marks.items())
    told = [[[file, *mark] for file, mark in marks.items()], _other_marks(source)]
    return {_name(told): Piece(source.title, read)}


def is_of(part: str, source: Source, piece: Piece) -> bool:
    """Whether a part's name is that of its piece, as the file is now. No other file is looked at."""
    try:
        if source.query:
            return part in _part_of_query(source)
        return part == _name_of(piece, mark_of(place_of(piece.file)), _other_marks(source))
    except (FileNotFoundError, SourceError):
        return False


def expected_bytes(pieces: Iterable[Piece]) -> int:
    """About how many bytes the parts of these pieces have, before they are read.

    Of sentences of 50 bytes a part has 105% of a TSV file, of longer texts less; of compressed files more.
    """
    return sum(piece.bytes for piece in pieces) * 5 // 4


def digest_of(told: Any) -> str:
    """A digest of what JSON can hold, as a name."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _pieces(source: Source, file: str, mark: _Mark, folder: Place) -> list[Piece]:
    if source.format_of(file) != "parquet":
        pieces = [
            Piece(file, lines.stop - lines.start, lines=lines) for lines in divide(folder, source, file, mark)
        ]
        return pieces or [Piece(file, _unpacked(file, mark[0]))]
    found = pieces_of(file, mark)
    rows = sum(groups.rows for groups in found if groups)
    return [
        Piece(file, int(mark[0]) if groups is None else int(mark[0]) * groups.rows // max(rows, 1), groups)
        for groups in found
    ]


def _name_of(piece: Piece, mark: _Mark, others: list[_Mark]) -> str:
    told = [piece.file, *mark, others]
    if piece.lines:
        told = [*told, asdict(piece.lines)]
    return _name([*told, piece.groups.told()] if piece.groups else told)


def _name(told: Any) -> str:
    return f"texts-{digest_of(told)}.parquet"


def _other_marks(source: Source) -> list[Any]:
    """Marks of what a query, or a condition, reads beside the source's files."""
    return [mark for path in source.allowed_paths for mark in marks_in(place_of(path))]


def _unpacked(file: str, size: str | int | float) -> int:
    return int(size) * (3 if file.endswith((".gz", ".zst")) else 1)
