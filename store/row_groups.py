"""A large Parquet file as pieces of row groups, each of which is read alone."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .page_sizes import UNREADABLE, chunk_start
from .places import fetched_file, is_url, opened, place_of

PIECE_BYTES = 128 << 20  # that a piece has, about, unpacked, with ROW_BYTES of each row
ROW_BYTES = 256  # a row is as much work as so many bytes of its text
MOST_PIECES = 256
_LOOKED_AT = 1 << 20  # smaller files are one piece, and their footers are not read


@dataclass(frozen=True)
class RowGroups:
    """Row groups of a Parquet file that follow each other."""

    first: int
    stop: int
    """The first one behind them."""
    first_row: int
    """Of the file's rows, from 0."""
    rows: int
    is_last: bool
    """Whether the file ends with them."""

    @property
    def numbers(self) -> range:
        """The numbers of the row groups, from 0."""
        return range(self.first, self.stop)

    def holds_sql(self, number: str) -> str:
        """A SQL condition: whether a row's number in the file, from 0, is in them.

        What a damaged file has behind its last row is in the last ones, so that it is noticed.
        """
        stop = "" if self.is_last else f" AND {number} < {self.first_row + self.rows}"
        return f"{number} >= {self.first_row}{stop}"

    def told(self) -> list[int]:
        """What tells them from others, for JSON."""
        return list(map(int, astuple(self)))


@lru_cache(maxsize=4096)
def pieces_of(file: str, mark: tuple[str | int | float, ...]) -> tuple[RowGroups | None, ...]:
    """The pieces of a Parquet file that has a mark (:func:`enc.store.places.mark_of`); None is the whole.

    They depend on the file alone, so that all processes have the same. Small files are not divided, nor are
    those with a column that has the name of DuckDB's number of a row. A file that cannot be read is left to
    its reader.
    """
    size = int(mark[0])
    if size < _LOOKED_AT:
        return (None,)
    try:
        with opened(place_of(file)) as stream:
            return _pieces(pq.read_metadata(stream))
    except UNREADABLE:
        return (None,)


def fetched_piece(file: str, folder: Path, groups: RowGroups | None) -> str:
    """A copy in a folder of the file that a URL names, as it is now; a local file is itself.

    The copy has all of the file but the other row groups, in whose place are zeros.
    """
    if groups is None or not is_url(file):
        return fetched_file(file, folder)
    try:
        with opened(place_of(file)) as stream:
            metadata = pq.read_metadata(stream)
    except UNREADABLE:  # it is another one by now, and its reader tells what is wrong with it
        return fetched_file(file, folder)
    chunks = [
        metadata.row_group(number).column(column)
        for number in range(metadata.num_row_groups)
        if number not in groups.numbers
        for column in range(metadata.num_columns)
    ]
    spans = [(chunk_start(chunk), chunk_start(chunk) + chunk.total_compressed_size) for chunk in chunks]
    return fetched_file(file, folder, without=spans)


def _pieces(metadata: Any) -> tuple[RowGroups | None, ...]:
    columns = (metadata.schema.column(number).path for number in range(metadata.num_columns))
    if any(path.partition(".")[0].lower() == "file_row_number" for path in columns):
        return (None,)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        return (None,)  # it is damaged, which is told of the whole
    weights = [max(0, group.num_rows) * ROW_BYTES + max(0, group.total_byte_size) for group in groups]
    runs, row = divided(weights), 0
    if len(runs) < 2:
        return (None,)
    pieces: list[RowGroups] = []
    for run in runs:
        rows = sum(groups[number].num_rows for number in run)
        pieces.append(RowGroups(run.start, run.stop, row, rows, run is runs[-1]))
        row += rows
    return tuple(pieces)


def divided(weights: Sequence[int]) -> list[range]:
    """Things of such weights, in bytes, as runs of about PIECE_BYTES each, by their numbers from 0."""
    total, runs = max(1, sum(weights)), list[range]()
    count = min(MOST_PIECES, -(-total // PIECE_BYTES))
    before = done = first = 0
    for number, weight in enumerate(weights, 1):
        before += weight
        if number == len(weights) or before * count // total > done:
            runs.append(range(first, number))
            done, first = before * count // total, number
    return runs
