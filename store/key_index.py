"""Keys in memory, arranged so that the numbers of others can be looked up many at a time."""

import numpy as np

NOWHERE = -1
"""The number of a key that is not there."""
_ALL_EQUAL = np.uint32(0x01010101)  # four booleans, all true, as one number
_PLACE_WORD = 1  # of a key: the word whose leading bits tell its place; ranges are made by those of word 0
_LEADING_BITS = 32


class KeyIndex:
    """Keys with a number each, which is the least one where a key is there several times.

    Keys are uniform, being hashes, so that as many places as there are keys hold about one key each. It takes
    up 44 bytes a key, and up to 8 for the places. The keys and numbers that it is given are part of it.
    """

    def __init__(self, keys: np.ndarray, numbers: np.ndarray):
        """``keys`` uint64 [n, 4] as of :func:`enc.store.key_ranges.key_words`, ``numbers`` int64 [n]; n is
        below 2^32.
        """
        if (numbers[1:] < numbers[:-1]).any():
            ascending = np.argsort(numbers, kind="stable")
            keys, numbers = keys.take(ascending, axis=0), numbers.take(ascending)
        self._keys, self.numbers = keys, numbers
        self._shift = np.uint64(64 - min(_LEADING_BITS, max(1, len(keys).bit_length())))
        # A place and a position as one number: these are sorted faster than positions by their places.
        packed = self._places(keys).view(np.uint64)
        packed <<= np.uint64(_LEADING_BITS)
        packed |= np.arange(len(keys), dtype=np.uint32)
        packed.sort()
        self._order = packed.astype(np.uint32)
        packed >>= np.uint64(_LEADING_BITS)
        counts = np.bincount(packed.view(np.int64), minlength=1 << (64 - int(self._shift)))
        self._starts = np.zeros(len(counts) + 1, np.uint32)
        np.cumsum(counts, out=self._starts[1:])

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self.numbers)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Positions int64 [n] in :attr:`numbers` of keys uint64 [n, 4]; NOWHERE for one that is not there."""
        found = np.full(len(keys), NOWHERE, np.int64)
        places = self._places(keys)
        at = self._starts.take(places).astype(np.int64)
        places += 1
        stop = self._starts.take(places)
        left = np.flatnonzero(at < stop)
        at, stop = at.take(left), stop.take(left)
        while len(left):
            rows = self._order.take(at).astype(np.int64)
            same = _are_equal(self._keys.take(rows, axis=0), keys.take(left, axis=0))
            found[left[same]] = rows[same]
            at += 1
            same |= at >= stop
            on = np.flatnonzero(~same)
            left, at, stop = left.take(on), at.take(on), stop.take(on)
        return found

    def _places(self, keys: np.ndarray) -> np.ndarray:
        return (keys[:, _PLACE_WORD] >> self._shift).view(np.int64)


def _are_equal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: whether two keys are equal, of uint64 [n, 4] each."""
    return (one == other).view(np.uint32).reshape(-1) == _ALL_EQUAL
