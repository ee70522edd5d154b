"""How the rows that are scored are divided: into batches, and these into parts that workers take."""

from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np

from ...store import FeatureSpec
from ...store.lookup import NOWHERE

BATCH_ROWS = 65536
BATCH_BYTES = 64 << 20  # of features in a batch
MOST_PARTS = 1024  # about: each is a file for each head while it is not written


def batch_rows(specs: list[FeatureSpec]) -> int:
    """Rows of an input file that are scored at a time, where heads take features of these settings."""
    return max(1, min(BATCH_ROWS, *(BATCH_BYTES // spec.row_bytes for spec in specs)))


def are_known(locations: np.ndarray, ids: np.ndarray | slice) -> np.ndarray:
    """Whether rows have features, bool [n], of locations int64 [ids], or [ids, 2] of pairs encoded apart."""
    found = locations[ids] != NOWHERE
    return found if found.ndim == 1 else found.all(1)


@dataclass(frozen=True)
class Batches:
    """The batches of all files, by the ids of their rows; a batch has rows of one file alone."""

    bounds: np.ndarray
    """int64 [batches + 1]: where each batch begins, and the end of the last one."""

    @classmethod
    def of(cls, first_ids: tuple[int, ...], ids: int, rows: int) -> "Batches":
        """Of files whose rows have the ids from these on, at most so many rows in a batch."""
        files = pairwise([*first_ids, ids])
        starts = [np.arange(first, stop, rows, dtype=np.int64) for first, stop in files]
        return cls(np.concatenate([*starts, np.array([ids], np.int64)]))

    @property
    def _in_part(self) -> int:
        """How many batches a part has; it does not depend on the workers, whose number may change."""
        return max(1, (len(self.bounds) - 1) // MOST_PARTS)

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-(len(self.bounds) - 1) // self._in_part)

    def part(self, number: int) -> np.ndarray:
        """The bounds of the batches of a part, int64 [n + 1]."""
        first = number * self._in_part
        return self.bounds[first : first + self._in_part + 1]

    def part_starts(self) -> np.ndarray:
        """The first id of each part, int64 [parts]."""
        return self.bounds[:-1][:: self._in_part]


def checksum_of_known(known: np.ndarray) -> int:
    """CRC-32 of which rows have features, bool [n]."""
    return crc32(np.packbits(known).tobytes())
