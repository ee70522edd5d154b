"""Texts, or pairs of texts, as word features are made of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...store import HeadError

_ROWS = 4096  # are Python objects at a time


@dataclass(frozen=True)
class Texts:
    """Texts of rows, and of pairs the second texts of the same rows, as Arrow strings."""

    first: pa.ChunkedArray
    second: pa.ChunkedArray | None = None

    @classmethod
    def of(cls, first: Iterable[str], second: Iterable[str] | None = None) -> "Texts":
        """Texts in memory. Raises HeadError where the sides of the pairs are not as many."""
        sides = [_column(side) for side in (first, second) if side is not None]
        if len(sides) > 1 and len(sides[0]) != len(sides[1]):
            raise HeadError(f"pairs have {len(sides[0])} first and {len(sides[1])} second texts")
        return cls(*sides)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def sides(self) -> list[pa.ChunkedArray]:
        """The first texts, and of pairs the second ones."""
        return [self.first] if self.second is None else [self.first, self.second]

    @property
    def bytes(self) -> int:
        """Of all texts in memory."""
        return sum(side.nbytes for side in self.sides)

    def take(self, rows: np.ndarray) -> "Texts":
        """Some of the rows (int64 positions), in the order given."""
        return Texts(*(side.take(pa.array(rows)) for side in self.sides))

    def all(self) -> Iterator[str]:
        """The texts of all sides, one side after the other."""
        for side in self.sides:
            yield from strings(side)


def strings(column: pa.ChunkedArray) -> Iterator[str]:
    """The values of a column of texts, of which few are Python objects at a time."""
    for start in range(0, len(column), _ROWS):
        yield from column.slice(start, _ROWS).to_pylist()


def _column(texts: Iterable[str]) -> pa.ChunkedArray:
    arrow: Any = texts
    if isinstance(arrow, (pa.Array, pa.ChunkedArray)):
        chunks = arrow.chunks if isinstance(arrow, pa.ChunkedArray) else [arrow]
        return pa.chunked_array([chunk.cast(pa.large_string()) for chunk in chunks], pa.large_string())
    values: Sequence[str] = texts if isinstance(texts, Sequence) else list(texts)
    return pa.chunked_array([pa.array(values, pa.large_string())])
