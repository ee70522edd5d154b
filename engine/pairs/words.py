"""What two texts have in common as words: counts, by pyarrow and NumPy, without Python for each row.

A word is a run of letters and digits in lower case. Chinese, Japanese and Thai are written without spaces:
there each character is a word.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

pc: Any = compute  # its functions are made when it is imported, and type checkers know only some of them
COUNTS = (
    "shared of both",
    "shared of the first",
    "shared of the second",
    "rare shared of the first",
    "rare shared of the second",
    "bigrams shared of the first",
    "bigrams shared of the second",
    "numbers of the first alone",
    "numbers of the second alone",
    "length of the first",
    "length of the second",
    "difference of lengths",
    "negation of the first",
    "negation of the second",
    "negation of one alone",
    "equal",
)
"""Names of the columns of :func:`word_counts`. Words and bigrams are sets; shared are shares from 0 to 1."""
BUCKETS = 1 << 16
"""Of the table of how rare words are; a word is in the bucket of its CRC-32."""
_SINGLE = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])"
_BETWEEN = r"[^\p{L}\p{M}\p{N}]+"
_NEGATION = (
    r"\b(?:no|not|nor|never|none|nobody|nothing|neither|nowhere|cannot|without|denied|denies)\b"
    r"|n ?['’]t\b|[不没沒無无非未别]"
)


@dataclass(frozen=True)
class _Words:
    """The words of texts, as sets: int64 ``text * size + word``, ascending, each once."""

    words: np.ndarray
    bigrams: np.ndarray
    size: int
    bigrams_size: int


def word_counts(first: pa.Array, second: pa.Array, rarity: np.ndarray) -> np.ndarray:
    """Counts of pairs of texts, float32 [rows, len(COUNTS)]. ``rarity`` is that of :func:`word_rarity`."""
    rows = len(first)
    if not rows:
        return np.empty((0, len(COUNTS)), np.float32)
    texts = pc.utf8_lower(pa.concat_arrays([first.cast(pa.string()), second.cast(pa.string())]))
    parents, codes, vocabulary = _coded(texts)
    weights = rarity[_buckets(vocabulary)].astype(np.float64)
    is_number = pc.match_substring_regex(vocabulary, r"^\p{N}").to_numpy(zero_copy_only=False)
    found = _sets(parents, codes, len(vocabulary))
    words, shared = _sides(found.words, found.size, rows)
    bigrams, shared_bigrams = _sides(found.bigrams, found.bigrams_size, rows)
    counted = [np.bincount(side // found.size, minlength=rows) for side in words]
    weighed = [np.bincount(side // found.size, weights[side % found.size], rows) for side in words]
    both = np.bincount(shared // found.size, minlength=rows)
    rare = np.bincount(shared // found.size, weights[shared % found.size], rows)
    numbers = [
        np.bincount(alone // found.size, is_number[alone % found.size], rows)
        for alone in (np.setdiff1d(side, shared, assume_unique=True) for side in words)
    ]
    pairs = [np.bincount(side // found.bigrams_size, minlength=rows) for side in bigrams]
    both_pairs = np.bincount(shared_bigrams // found.bigrams_size, minlength=rows)
    lengths = np.log1p(np.bincount(parents, minlength=2 * rows)).reshape(2, rows)
    negation = pc.count_substring_regex(texts, _NEGATION).to_numpy().reshape(2, rows) > 0
    columns = (
        _share(both, counted[0] + counted[1] - both),
        _share(both, counted[0]),
        _share(both, counted[1]),
        _share(rare, weighed[0]),
        _share(rare, weighed[1]),
        _share(both_pairs, pairs[0]),
        _share(both_pairs, pairs[1]),
        np.log1p(numbers[0]),
        np.log1p(numbers[1]),
        lengths[0],
        lengths[1],
        np.abs(lengths[0] - lengths[1]),
        negation[0],
        negation[1],
        negation[0] != negation[1],
        pc.equal(texts[:rows], texts[rows:]).to_numpy(zero_copy_only=False),
    )
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


class WordRarity:
    """Counts in how many texts each word is, for a table of how rare words are."""

    def __init__(self) -> None:
        self._texts = 0
        self._having = np.zeros(BUCKETS, np.int64)

    def add(self, texts: pa.Array) -> None:
        """Count some more texts."""
        parents, codes, vocabulary = _coded(pc.utf8_lower(texts.cast(pa.string())))
        found = _sets(parents, codes, len(vocabulary))
        having = np.bincount(found.words % found.size, minlength=found.size)[: len(vocabulary)]
        np.add.at(self._having, _buckets(vocabulary), having)
        self._texts += len(texts)

    def table(self) -> np.ndarray:
        """Logarithms of the inverse share of texts that have a word of a bucket, float32 [BUCKETS]."""
        return (math.log(self._texts + 1) - np.log(self._having + 1)).astype(np.float32)


def _coded(texts: pa.Array) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    """The text and the number of each word, int64 [words], and the words by their numbers."""
    spaced = pc.replace_substring_regex(texts, _SINGLE, r" \1 ")
    lists = pc.split_pattern_regex(spaced, _BETWEEN)
    flat = pc.list_flatten(lists)
    parents = pc.list_parent_indices(lists).to_numpy()
    is_word = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    coded = flat.filter(pa.array(is_word)).dictionary_encode()
    return parents[is_word], coded.indices.to_numpy().astype(np.int64), coded.dictionary


def _sets(parents: np.ndarray, codes: np.ndarray, vocabulary: int) -> _Words:
    size = max(1, vocabulary)
    follows = np.flatnonzero(parents[1:] == parents[:-1])
    bigrams, numbers = np.unique(codes[follows] * size + codes[follows + 1], return_inverse=True)
    bigrams_size = max(1, len(bigrams))
    return _Words(
        np.unique(parents * size + codes),
        np.unique(parents[follows] * bigrams_size + numbers),
        size,
        bigrams_size,
    )


def _sides(found: np.ndarray, size: int, rows: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The sets of the first and of the second texts, both as of ``rows`` texts, and what both have."""
    cut = np.searchsorted(found, rows * size)
    sides = found[:cut], found[cut:] - rows * size
    return sides, np.intersect1d(*sides, assume_unique=True)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _buckets(words: pa.Array) -> np.ndarray:
    """The bucket of each word, int64 [words]; each word of a block of texts comes once."""
    return np.array([zlib.crc32(word.encode()) % BUCKETS for word in words.to_pylist()], np.int64)
