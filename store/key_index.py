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
    up 40 bytes a key, and up to 8 for the places.
    """

    def __init__(self, keys: np.ndarray, numbers: np.ndarray):
        """``keys`` uint64 [n, 4] as of :func:`enc.store.key_ranges.key_words`, ``numbers`` int64 [n]."""
        if (np.diff(numbers) < 0).any():
            ascending = np.argsort(numbers, kind="stable")
            keys, numbers = keys.take(ascending, axis=0), numbers.take(ascending)
        self._shift = np.uint64(64 - min(_LEADING_BITS, max(1, len(keys).bit_length())))
        places = self._places(keys)
        order = _order(places)
        self._keys, self.numbers = keys.take(order, axis=0), numbers.take(order)
        counts = np.bincount(places, minlength=1 << (64 - int(self._shift)))
        self._starts = np.zeros(len(counts) + 1, np.uint32)
        np.cumsum(counts, out=self._starts[1:])

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self.numbers)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Positions int64 [n] in :attr:`numbers` of keys uint64 [n, 4]; NOWHERE for one that is not there."""
        found = np.full(len(keys), NOWHERE, np.int64)
        places = self._places(keys)
        at, stop = self._starts[places].astype(np.int64), self._starts[places + 1]
        left = np.flatnonzero(at < stop)
        while len(left):
            same = _are_equal(self._keys.take(at[left], axis=0), keys.take(left, axis=0))
            found[left[same]] = at[left[same]]
            left = left[~same]
            at[left] += 1
            left = left[at[left] < stop[left]]
        return found

    def _places(self, keys: np.ndarray) -> np.ndarray:
        return (keys[:, _PLACE_WORD] >> self._shift).astype(np.int64)


def _order(places: np.ndarray) -> np.ndarray:
    """The stable order of places, which have up to 32 bits: 16-bit integers are sorted by radix."""
    low = np.argsort(places.astype(np.uint16), kind="stable")
    high = (places >> 16).astype(np.uint16)
    return low.take(np.argsort(high.take(low), kind="stable")) if high.any() else low


def _are_equal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """bool [n]: whether two keys are equal, of uint64 [n, 4] each."""
    return (one == other).view(np.uint32).reshape(-1) == _ALL_EQUAL
