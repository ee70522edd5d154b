"""Features of tokens, of rows that have different numbers of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenRows:
    """Vectors of the tokens of many rows, one row after the other, without padding."""

    vectors: np.ndarray
    """[tokens of all rows, width], in the stored dtype."""
    lengths: np.ndarray
    """Tokens of each row, int32 [rows]."""

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> "TokenRows":
        """Some of the rows, by a mask bool [rows]."""
        return TokenRows(self.vectors[np.repeat(rows, self.lengths)], self.lengths[rows])

    def padded(self, width: int | None = None) -> np.ndarray:
        """Features [rows, length of the longest row, width], zeros at padding."""
        longest = int(self.lengths.max(initial=0)) if width is None else width
        found = np.zeros((len(self), longest, self.vectors.shape[1]), self.vectors.dtype)
        found[padded_mask(self.lengths, longest)] = self.vectors
        return found

    @classmethod
    def concatenate(cls, parts: Sequence["TokenRows"]) -> "TokenRows":
        """One set of rows out of several, in order."""
        return cls(
            np.concatenate([part.vectors for part in parts]), np.concatenate([part.lengths for part in parts])
        )


def padded_mask(lengths: np.ndarray, longest: int | None = None) -> np.ndarray:
    """True at tokens, bool [rows, longest], of rows with so many tokens; padded to the longest row unless
    ``longest`` is given.
    """
    longest = int(lengths.max(initial=0)) if longest is None else longest
    return np.arange(longest) < lengths[:, None]


def padded_places(
    starts: np.ndarray, lengths: np.ndarray, widths: np.ndarray, step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Where the vectors of rows are that begin at ``starts``, ``step`` from one to the next, int64 [sum of
    widths]; each row is padded to its own width.

    Returns which of them are padding, too, int64 [padding]: places that mean nothing.
    """
    stops = np.cumsum(widths, dtype=np.int64)
    firsts = stops - widths
    places = np.arange(int(stops[-1]) if len(stops) else 0)
    if step != 1:
        places *= step
    places += np.repeat(starts - firsts * step, widths)
    is_short = lengths < widths
    return places, spans((firsts + lengths)[is_short], (widths - lengths)[is_short])


def at_longest(lengths: np.ndarray) -> np.ndarray:
    """The widths of rows that are padded to the longest of them, int64 [rows]."""
    return np.full(len(lengths), lengths.max(initial=0), np.int64)


def padded_to(features: np.ndarray, length: int) -> np.ndarray:
    """Features [rows, length, width] of padded tokens [rows, at most length, width]."""
    if features.shape[1] == length:
        return features
    found = np.zeros((len(features), length, features.shape[2]), features.dtype)
    found[:, : features.shape[1]] = features
    return found


def spans(starts: np.ndarray, lengths: np.ndarray, step: int = 1) -> np.ndarray:
    """``start``, ``start + step``, …, ``length`` numbers for each start, one after the other: int64."""
    firsts = np.cumsum(lengths, dtype=np.int64) - lengths
    inside = np.arange(int(lengths.sum(dtype=np.int64))) - np.repeat(firsts, lengths)
    return np.repeat(starts, lengths) + inside * step
