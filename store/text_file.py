"""What must be known of a text file before it is read: its line ends, longest line, header, and encoding.

A file is looked through once, in blocks, at about the speed of memory. What the reader makes of the file
can then be counted against its lines, so that no line is lost without a word.
"""

import codecs
import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from .errors import SourceError

BLOCK_BYTES = 1 << 17  # fits the processor's cache
LONGEST_LINE = 64 << 20  # of bytes; readers and tokenizers hold a line many times over
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class TextFile:
    """Facts of a text file."""

    newline: str | None
    r"""``\n``, ``\r\n`` or ``\r``, if all lines end with it; None if several do."""
    lines: int
    """Lines that end with a line feed (without any, with a carriage return), and an unended last one."""
    blank_lines: np.ndarray
    """Numbers, int64, from 1, of lines with nothing on them, but for those at the end of the file."""
    blank_at_end: int
    """Lines with nothing on them at the end of the file."""
    longest: int
    """Upper bound of the bytes of a line, its end included."""
    has_quotes: bool
    """Whether there is a double quote anywhere."""
    has_mark: bool
    """Whether the file begins with the byte-order mark of UTF-8."""
    first_byte: bytes
    """The first byte that is not white space, after the byte-order mark."""

    @property
    def is_array(self) -> bool:
        """Whether the file can be one JSON array."""
        return self.first_byte == b"["


@dataclass(frozen=True)
class Lines:
    """Lines of a text file that follow each other and are whole rows, and what must be known to read them."""

    start: int
    """Of the file's bytes, from 0."""
    stop: int
    first_line: int
    """Lines before them."""
    first_row: int
    """Rows before them, as rejects number them: lines that are no row count."""
    rows: int
    is_last: bool
    """Whether the file ends with them."""
    columns: Mapping[str, str]
    """DuckDB types of the whole file's columns by name."""
    newline: str
    longest: int
    has_quotes: bool
    """As of the whole file's :class:`TextFile`."""

    def facts(self, own: TextFile) -> TextFile:
        """Facts of these lines as a part of the file, of those that a copy of them has as a file."""
        blank, at_end = own.blank_lines, own.blank_at_end
        if not self.is_last:
            blank = np.r_[blank, np.arange(own.lines - at_end + 1, own.lines + 1)]
            at_end = 0
        return replace(
            own,
            newline=self.newline,
            blank_lines=blank,
            blank_at_end=at_end,
            longest=self.longest,
            has_quotes=self.has_quotes,
            first_byte=b"",  # they are no JSON array, whatever they begin with
        )


def opened(file: str) -> BinaryIO:
    """A file's bytes, decompressed if its ending says that it is compressed. Raises SourceError."""
    try:
        return cast("BinaryIO", pa.input_stream(file, compression="detect", buffer_size=1 << 20))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{file} cannot be read: {error}") from error


def lines_of(file: str, newline: str | None = None) -> Iterator[bytes]:
    """The lines of a file, their ends included: line feeds, unless ``newline`` is a carriage return."""
    if newline != "\r":
        with opened(file) as stream:
            yield from io.BufferedReader(cast("io.RawIOBase", stream), 1 << 20)
        return
    rest = b""
    for block in _blocks(file):
        *lines, rest = (rest + block).split(b"\r")
        for line in lines:
            yield line + b"\r"
    if rest:
        yield rest


def examine(file: str) -> TextFile:
    """Look through a file. Raises SourceError for UTF-16, and for lines of over LONGEST_LINE bytes."""
    seen = _Counts(file)
    for block in _blocks(file):
        seen.add(block)
    return seen.facts()


def conversion(encoding: str, file: str) -> str:
    """The command that writes a text file of this encoding anew, as UTF-8, under a name of its own."""
    path = Path(file)
    return (
        f"iconv -f {encoding} -t UTF-8 {shlex.quote(file)} > {shlex.quote(f'{path.stem}-utf8{path.suffix}')}"
    )


def _blocks(file: str) -> Iterator[bytes]:
    with opened(file) as stream:
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except (OSError, pa.ArrowException) as error:
                raise SourceError(f"{file} cannot be read: {error}") from error
            if not block:
                return
            yield block


class _Counts:
    """Adds up what the blocks of one file have."""

    def __init__(self, file: str):
        self.file = file
        self.feeds = self.returns = self.pairs = 0
        self.size = self.longest = self.unended = 0
        self.blank: list[np.ndarray] = []
        self.has_quotes = self.has_mark = False
        self.first = b""
        self.last = b"\n\n"  # two bytes before a block; before the file, lines end

    def add(self, block: bytes) -> None:
        if not self.size:
            self._begin(block)
        if not self.first:
            self.first = block.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        bytes_ = np.frombuffer(self.last + block, np.uint8)
        is_feed = bytes_ == ord("\n")
        feeds = int(np.count_nonzero(is_feed[2:]))
        is_blank = is_feed[2:] & is_feed[1:-1]
        if b"\r" in block or self.last.endswith(b"\r"):
            is_return = bytes_ == ord("\r")
            ended = is_feed[2:] & is_return[1:-1]
            is_blank |= ended & is_feed[:-2]
            self.returns += int(np.count_nonzero(is_return[2:]))
            self.pairs += int(np.count_nonzero(ended))
        if is_blank.any():
            ends = np.cumsum(is_feed[2:])
            self.blank.append(ends[is_blank] + self.feeds)
        if feeds:
            head, tail = block.index(b"\n") + 1, len(block) - block.rindex(b"\n") - 1
            inner = len(block) if feeds > 1 else 0
            self.longest = max(self.longest, self.unended + head, inner)
            self.unended = tail
        else:
            self.unended += len(block)
        self.feeds += feeds
        if self.unended > LONGEST_LINE:
            raise SourceError(
                f"{self.file} has a line of over {LONGEST_LINE >> 20} MB, line {self.feeds + 1}; "
                "is it a text file?"
            )
        self.has_quotes = self.has_quotes or b'"' in block
        self.size += len(block)
        self.last = (self.last + block[-2:])[-2:]

    def _begin(self, block: bytes) -> None:
        self.has_mark = block.startswith(codecs.BOM_UTF8)
        # Text in UTF-16 has a zero beside every ASCII character.
        if block.startswith(_UTF16) or block.count(b"\0") > len(block) // 4:
            raise SourceError(
                f"{self.file} is not UTF-8 (it looks like UTF-16); convert it: "
                f"{conversion('UTF-16', self.file)}"
            )

    def facts(self) -> TextFile:
        newline: str | None = None
        if not self.returns:
            newline = "\n"
        elif self.returns == self.pairs == self.feeds:
            newline = "\r\n"
        elif not self.feeds:
            newline = "\r"
        lines, end = (self.returns, b"\r") if newline == "\r" else (self.feeds, b"\n")
        if self.size and not self.last.endswith(end):
            lines += 1
        blank = np.concatenate([np.empty(0, np.int64), *self.blank])
        # Numbers from the last line on backwards, as long as none is left out.
        is_at_end = blank[::-1] == lines - np.arange(len(blank))
        at_end = len(blank) if is_at_end.all() else int(is_at_end.argmin())
        return TextFile(
            newline=newline,
            lines=lines,
            blank_lines=blank[: len(blank) - at_end],
            blank_at_end=at_end,
            longest=max(self.longest, self.unended),
            has_quotes=self.has_quotes,
            has_mark=self.has_mark,
            first_byte=self.first,
        )
