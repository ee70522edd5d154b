"""A reader of TSV and CSV that goes on behind every bad line.

It is for files of which DuckDB's reader cannot account for every line.
DuckDB is quicker, but gives up, or drops rows, where line ends are mixed or a quote is not closed. Here a
bad line is one reject, and the next line is read as if the bad one were not there.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence

import pyarrow as pa

from .text_file import lines_of

RECORD_LINES = 10_000  # a quoted field that is not closed within so many lines is a stray quote
RECORD_BYTES = 64 << 20
BATCH_BYTES = 4 << 20
LINE_IS_EMPTY = "line is empty"
INVALID_UTF8 = "invalid UTF-8"
NOT_CLOSED = "a quote is not closed"
RETURN_INSIDE = "a carriage return inside the line"
_REASONS = (
    LINE_IS_EMPTY,
    INVALID_UTF8,
    "missing columns",
    "too many columns",
    RETURN_INSIDE,
    NOT_CLOSED,
    "text after a closing quote",
)


class Rejects:
    """Lines that could not be read: row (from 1), line (from 1) and reason of each, in little memory."""

    def __init__(self) -> None:
        self._rows, self._lines, self._reasons = array("q"), array("q"), array("B")

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: int, line: int, reason: str) -> None:
        """Remember a line."""
        self._rows.append(row)
        self._lines.append(line)
        self._reasons.append(_REASONS.index(reason))

    def table(self) -> pa.Table:
        """Columns row, line and reason."""
        reasons = pa.DictionaryArray.from_arrays(pa.array(self._reasons, pa.int8()), pa.array(_REASONS))
        rows, lines = pa.array(self._rows, pa.int64()), pa.array(self._lines, pa.int64())
        return pa.table({"row": rows, "line": lines, "reason": reasons.cast(pa.string())})


def records(
    file: str,
    format: str,
    columns: Sequence[str],
    number: str,
    *,
    newline: str | None,
    header_lines: int,
    rejects: Rejects,
) -> Iterator[pa.RecordBatch]:
    """The rows of a file with their number, column ``number``; bad lines are added to ``rejects``.

    A row has the text columns ``columns``; empty fields are null. Rows and bad lines are numbered
    together, from 1, after ``header_lines`` lines.
    """
    schema = pa.schema([(column, pa.large_string()) for column in columns] + [(number, pa.int64())])
    rows: list[tuple[str | None, ...]] = []
    numbers: list[int] = []
    empty: list[tuple[int, int]] = []
    row = held = 0
    for line, fields, size in _records(file, format, newline):
        if line <= header_lines:
            continue
        row += 1
        values = fields if isinstance(fields, str) else _values(fields, len(columns))
        if values == LINE_IS_EMPTY:
            empty.append((row, line))
            continue
        for empty_row, empty_line in empty:  # empty lines at the end of the file are none
            rejects.add(empty_row, empty_line, LINE_IS_EMPTY)
        empty.clear()
        if isinstance(values, str):
            rejects.add(row, line, values)
            continue
        rows.append(values)
        numbers.append(row)
        held += size
        if held >= BATCH_BYTES:
            yield _batch(rows, numbers, schema)
            rows, numbers, held = [], [], 0
    yield _batch(rows, numbers, schema)


def header(file: str, format: str, newline: str | None) -> tuple[list[str] | str, int]:
    """The fields of the first record, or what is wrong with it; and the number of lines that it takes up."""
    found: list[bytes] | str = "the file is empty"
    lines = 0
    for line, fields, _ in _records(file, format, newline):
        if lines:
            lines = line - 1
            break
        found, lines = fields, line
    if isinstance(found, str):
        return found, lines
    names = _values(found, len(found))
    return (names, lines) if isinstance(names, str) else ([name or "" for name in names], lines)


def _batch(rows: list[tuple[str | None, ...]], numbers: list[int], schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(schema) - 1)
    arrays = [pa.array(column, pa.large_string()) for column in columns]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(numbers, pa.int64())], schema=schema)


def _values(fields: list[bytes], count: int) -> tuple[str | None, ...] | str:
    """The fields as text, null where they are empty; or what is wrong with them."""
    while len(fields) > count and not fields[-1]:
        fields = fields[:-1]  # delimiters at the end of a line
    if count > 1 and fields == [b""]:
        return LINE_IS_EMPTY
    if len(fields) != count:
        return "missing columns" if len(fields) < count else "too many columns"
    try:
        return tuple(field.decode() or None for field in fields)
    except UnicodeDecodeError:
        return INVALID_UTF8


def _records(file: str, format: str, newline: str | None) -> Iterator[tuple[int, list[bytes] | str, int]]:
    """Number of the first line, fields (or what is wrong), and bytes of every record."""
    lines = _Lines(lines_of(file, newline))
    while (line := lines.next()) is not None:
        number, data = lines.number, _without_end(line)
        if format == "tsv":
            fields = RETURN_INSIDE if b"\r" in data else data.split(b"\t")
            yield number, fields, len(line)
        elif b'"' not in data:
            fields = RETURN_INSIDE if b"\r" in data else data.split(b",")
            yield number, fields, len(line)
        else:
            yield number, _quoted_record(line, lines), len(line)


def _quoted_record(line: bytes, lines: "_Lines") -> list[bytes] | str:
    """Fields of a record that begins with this line. If it is bad, no line behind it has been taken."""
    data, taken = line, 0
    while True:
        fields = split_quoted(_without_end(data))
        if fields != NOT_CLOSED:
            break
        # Only a line with a quote can close the field.
        more: list[bytes] = []
        while not more or b'"' not in more[-1]:
            following = lines.peek(taken)
            if following is None or taken >= RECORD_LINES or len(data) > RECORD_BYTES:
                return NOT_CLOSED
            more.append(following)
            taken += 1
        data += b"".join(more)
    if isinstance(fields, str):
        return NOT_CLOSED if taken else fields
    lines.skip(taken)
    return fields


def split_quoted(data: bytes) -> list[bytes] | str:
    """Fields of a CSV record, or what is wrong with it.

    A field that begins with a quote ends with one, and two quotes in it stand for one. Spaces around such a
    field are left out. A quote within another field is text.
    """
    fields: list[bytes] = []
    position, end = 0, len(data)
    while True:
        start = _after_spaces(data, position)
        if data.startswith(b'"', start):
            close = _closing_quote(data, start + 1)
            if close < 0:
                return NOT_CLOSED
            fields.append(data[start + 1 : close].replace(b'""', b'"'))
            position = _after_spaces(data, close + 1)
            if position < end and data[position] != ord(","):
                return "text after a closing quote"
        else:
            stop = data.find(b",", position)
            stop = end if stop < 0 else stop
            if b"\r" in data[position:stop] or b"\n" in data[position:stop]:
                return RETURN_INSIDE
            fields.append(data[position:stop])
            position = stop
        if position == end:
            return fields
        position += 1  # the comma
        if position == end:
            return [*fields, b""]


def _after_spaces(data: bytes, position: int) -> int:
    while data.startswith(b" ", position):
        position += 1
    return position


def _closing_quote(data: bytes, start: int) -> int:
    while True:
        close = data.find(b'"', start)
        if close < 0 or data[close + 1 : close + 2] != b'"':
            return close
        start = close + 2


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


class _Lines:
    """Lines with their ends, and a look at the lines ahead."""

    def __init__(self, lines: Iterator[bytes]):
        self._lines = lines
        self._ahead: deque[bytes] = deque()
        self.number = 0
        """Number of the line that was taken last, from 1."""

    def next(self) -> bytes | None:
        """Take the next line; None at the end of the file."""
        line = self._ahead.popleft() if self._ahead else self._read()
        if line:
            self.number += 1
        return line or None

    def peek(self, offset: int) -> bytes | None:
        """The line that is so many lines ahead; it is not taken."""
        while len(self._ahead) <= offset:
            line = self._read()
            if not line:
                return None
            self._ahead.append(line)
        return self._ahead[offset]

    def skip(self, lines: int) -> None:
        """Take so many lines that were looked at."""
        for _ in range(lines):
            self._ahead.popleft()
        self.number += lines

    def _read(self) -> bytes:
        line = next(self._lines, b"")
        if not self.number and not self._ahead:
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line
