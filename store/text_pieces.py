"""A large TSV, CSV or JSON-lines file as pieces of whole lines, each of which is read alone.

Nothing is guessed: the file is looked through, at about the speed of memory, and the numbers of a piece's
first row and line are counted. A line feed ends a row of TSV and JSON lines. In CSV it may stand in quotes,
so there all quotes must be as RFC 4180 has them: around whole fields, and doubled within. What does not pass
is one piece.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from .duck import with_memory, workspace
from .errors import WorkspaceError
from .places import is_url
from .progress import tell
from .reading import Scan, scan_of, with_text_columns
from .row_groups import PIECE_BYTES, ROW_BYTES, divided
from .shard_file import reason
from .source import Source, pick_columns
from .source_connection import errors_of_source
from .text_file import Lines, lines_of

LOOKED_AT = PIECE_BYTES // 4  # smaller files are one piece
BLOCK_BYTES = 1 << 20  # that are looked through at a time; each may have one place where a piece begins
_COPIED_BYTES = 1 << 20  # at a time
_COMPRESSED = (".gz", ".zst", ".bz2", ".lz4", ".br")
_QUOTE, _COMMA, _FEED, _RETURN = b'",\n\r'
_BEFORE_TEXT = re.compile(rb"\n(?=[^\r\n\xef]|\xef[^\xbb])")  # neither an empty line nor a byte-order mark
_BEFORE_OBJECT = re.compile(rb"\n(?=\{)")


@dataclass(frozen=True)
class _Cut:
    """A place where a row begins, and what is before it in the file."""

    offset: int
    lines: int
    rows: int


def may_be_divided(file: str, size: int) -> bool:
    """Whether a text file of so many bytes is looked through: it is large, not compressed, and lies here."""
    return size >= LOOKED_AT and not is_url(file) and Path(file).suffix.lower() not in _COMPRESSED


def pieces_of_text(source: Source, file: str) -> tuple[Lines, ...]:
    """The pieces of a file of a source; none where the file is to be read as a whole.

    They depend on the file and the source alone. Raises SourceError for a file without the source's columns,
    and for what cannot be read at all.
    """
    with workspace() as con, errors_of_source(file, source):
        tell("reading", 0)
        scan = with_memory(con, lambda _: scan_of(con, source, file))
        texts = pick_columns(source, list(scan.columns), file)
        scan = with_text_columns(scan, [column for column in texts if column is not None])
    newline = scan.facts.newline
    if newline not in ("\n", "\r\n") or (scan.format == "jsonl" and scan.facts.is_array):
        return ()
    cuts = _quoted_cuts(scan) if scan.format == "csv" and scan.facts.has_quotes else _plain_cuts(scan)
    tell("reading", scan.facts.lines, scan.facts.lines)
    spans = list(pairwise(cuts))
    runs = divided([stop.offset - at.offset + ROW_BYTES * (stop.rows - at.rows) for at, stop in spans])
    if len(runs) < 2:
        return ()
    return tuple(
        Lines(
            start=spans[run.start][0].offset,
            stop=spans[run.stop - 1][1].offset,
            first_line=spans[run.start][0].lines,
            first_row=spans[run.start][0].rows,
            rows=spans[run.stop - 1][1].rows - spans[run.start][0].rows,
            is_last=run is runs[-1],
            columns=dict(scan.columns),
            newline=newline,
            longest=scan.facts.longest,
            has_quotes=scan.facts.has_quotes,
        )
        for run in runs
    )


def copied_lines(file: str, folder: Path, lines: Lines) -> str:
    """A copy of lines of a file in a new folder in ``folder``, under the file's own name.

    Raises WorkspaceError where there is no room for it.
    """
    copy = folder / "lines" / Path(file).name
    copy.parent.mkdir()
    try:
        with open(file, "rb") as source, open(copy, "wb") as target:
            source.seek(lines.start)
            if source.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
                target.write(codecs.BOM_UTF8)  # of the two, the reader takes one away
            source.seek(lines.start)
            left = lines.stop - lines.start
            while left and (block := source.read(min(left, _COPIED_BYTES))):
                target.write(block)
                left -= len(block)
    except OSError as error:
        raise WorkspaceError(
            f"lines of {file} cannot be copied to '{folder}' ({reason(error)}); free some space for "
            "temporary files, or set TMPDIR to another folder"
        ) from error
    return str(copy)


def _first_cut(scan: Scan) -> _Cut:
    """Where the first row begins, behind the byte-order mark and the header."""
    mark = len(codecs.BOM_UTF8) if scan.facts.has_mark else 0
    header = sum(map(len, islice(lines_of(scan.file), scan.header_lines)))
    return _Cut(max(mark, header), scan.header_lines, 0)


def _plain_cuts(scan: Scan) -> list[_Cut]:
    """Where the file may be divided, from its first row to its end; every line is a row."""
    facts, first = scan.facts, _first_cut(scan)
    is_json = scan.format == "jsonl"
    begins = _BEFORE_OBJECT if is_json else _BEFORE_TEXT
    empty = facts.blank_lines if is_json else facts.blank_lines[:0]  # which JSON lines have between rows

    def cut(offset: int, line: int) -> _Cut:
        return _Cut(offset, line, line - scan.header_lines - int(np.searchsorted(empty, line, "right")))

    cuts, lines, offset = [first], 0, 0
    for block in _blocks(scan.file, 0):
        found = begins.search(block, max(0, first.offset - offset))
        if found:
            cuts.append(cut(offset + found.end(), lines + block.count(b"\n", 0, found.end())))
        lines += block.count(b"\n")
        offset += len(block)
        tell("reading", lines)
    return [*cuts, cut(offset, facts.lines)]


def _quoted_cuts(scan: Scan) -> list[_Cut]:
    """As :func:`_plain_cuts`, of a CSV file with quotes; nothing where these are not as they must be."""
    first = _first_cut(scan)
    cuts, quotes, lines, rows, offset = [first], 0, first.lines, 0, first.offset
    before = b"\n\n"  # the two bytes before a block; before the first row, a row ends
    blocks = _blocks(scan.file, first.offset)
    block = next(blocks, b"")
    while block:
        following = next(blocks, b"")
        bytes_ = np.frombuffer(before + block + (following[:1] or b"\n"), np.uint8)
        inner = bytes_[2:-1]
        marks, feeds = np.flatnonzero(inner == _QUOTE), np.flatnonzero(inner == _FEED)
        opens = (quotes + np.arange(len(marks))) % 2 == 0
        if not np.isin(bytes_[marks[opens] + 1], (_COMMA, _FEED, _QUOTE)).all():
            return []
        if not np.isin(bytes_[marks[~opens] + 3], (_COMMA, _FEED, _RETURN, _QUOTE)).all():
            return []
        ends = feeds[(quotes + np.searchsorted(marks, feeds)) % 2 == 0]
        is_empty = (bytes_[ends + 1] == _FEED) | ((bytes_[ends + 1] == _RETURN) & (bytes_[ends] == _FEED))
        if len(scan.columns) > 1 and is_empty.any():
            return []  # such files are read by our own reader
        can_begin = ~np.isin(bytes_[ends + 3], (_FEED, _RETURN, codecs.BOM_UTF8[0]))
        if can_begin.any():
            row = int(can_begin.argmax())
            at = int(ends[row]) + 1
            cuts.append(_Cut(offset + at, lines + int(np.searchsorted(feeds, at)), rows + row + 1))
        quotes, lines, rows = quotes + len(marks), lines + len(feeds), rows + len(ends)
        offset += len(block)
        tell("reading", rows)
        before, block = (before + block[-2:])[-2:], following
    if quotes % 2:
        return []
    return [*cuts, _Cut(offset, scan.facts.lines, rows + (before[-1] != _FEED))]


def _blocks(file: str, start: int) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        stream.seek(start)
        while block := stream.read(BLOCK_BYTES):
            yield block
