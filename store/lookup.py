"""Which rows of a stage have features, where these are, and which texts have none.

One join of all keys would need 50 to 70 bytes a row. So keys are put into ranges, and compared range by
range: memory is about 50 MB for any number of rows and stored features, and a byte a row. The locations that
are found take up 8 bytes a row of a file.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from . import plan
from .duck import count, folder_of
from .key_ranges import KeyRanges, key_words
from .stage import Stage

NOWHERE = -1
"""The location of a row without features."""
_READ_ROWS = 1 << 17
_SIEVE_BITS = 24
_CHUNK_IDS = 1 << 17  # about as many rows as DuckDB keeps together


@dataclass(frozen=True)
class Lookup:
    """What the shards hold of a stage's texts. Arrays are by the rows' ``id``, from 0."""

    locations: np.ndarray
    """int64 [ids]: where each row's features are; NOWHERE if there are none, or the row cannot be used.

    The array is in a file of the workspace, which the system may put out of memory at any time.
    """
    is_first_missing: np.ndarray
    """bool [ids]: whether the row is the first with a text that has no features."""
    distinct: int
    """Distinct texts or pairs of the stage."""
    missing: int
    """Those of them that have no features."""

    def missing_texts(
        self, con: duckdb.DuckDBPyConnection, stage: Stage, rows: int
    ) -> Iterator[pa.RecordBatch]:
        """``id, key, text, pair`` of each missing text once, in the source's order."""
        for start in range(0, len(self.is_first_missing), _CHUNK_IDS):
            stop = start + _CHUNK_IDS
            if not self.is_first_missing[start:stop].any():
                continue
            for batch in con.sql(_texts_sql(stage, start, stop)).to_arrow_reader(rows):
                yield batch.filter(pa.array(self.is_first_missing[batch.column("id").to_numpy()]))


def _texts_sql(stage: Stage, start: int, stop: int) -> str:
    return plan.rows_sql(stage.name, "id, key, text, pair", f"id >= {start} AND id < {stop}")


def look_up(stage: Stage, shards: Sequence[str]) -> Lookup:
    """Look for the features of a stage's texts in the shards of a feature table."""
    stored = count(stage.con, f"({plan.shard_keys_sql(shards)})") if shards else 0
    folder, keys = folder_of(stage.con), stage.rows + stored
    found = Lookup(_nowhere(folder, stage.ids), np.zeros(stage.ids, np.bool_), 0, 0)
    distinct = missing = 0
    with closing(KeyRanges(folder, keys)) as wanted, closing(KeyRanges(folder, keys)) as known:
        sieve = _Sieve(stage.rows)
        for words, ids in _keys(stage.con, plan.rows_sql(stage.name, "key, id", "true")):
            wanted.add(words, ids)
            sieve.add(words)
        if shards:
            for words, locations in _keys(stage.con, plan.shard_keys_sql(shards)):
                held = sieve.holds(words)
                known.add(words[held], locations[held])
        for number in range(len(wanted)):
            texts, absent = _match(wanted.range(number), known.range(number), found)
            distinct, missing = distinct + texts, missing + absent
    return Lookup(found.locations, found.is_first_missing, distinct, missing)


def _nowhere(folder: Path, ids: int) -> np.ndarray:
    """An array in a file, int64 [ids], of nothing but NOWHERE."""
    if not ids:
        return np.empty(0, np.int64)
    with tempfile.TemporaryFile(dir=folder) as file:
        places = np.memmap(file, np.int64, "w+", shape=(ids,))
    places[:] = NOWHERE
    return places


def _keys(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with con.cursor() as cursor:
        for batch in cursor.sql(sql).to_arrow_reader(_READ_ROWS):
            if batch.num_rows:
                yield key_words(batch.column(0)), batch.column(1).to_numpy()


def _match(
    wanted: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray], found: Lookup
) -> tuple[int, int]:
    """Put into ``found`` what is known of one range's rows.

    Returns the range's distinct keys, and how many of them are not known.
    """
    ids, locations = wanted[1], known[1]
    if not len(ids):
        return 0, 0
    # A text that two writers stored is read at one place, whatever the order in which keys came.
    by_place = np.argsort(locations, kind="stable")
    keys = np.concatenate([known[0][by_place], wanted[0]])
    groups, firsts = _groups(keys)
    stored = len(locations)
    rows_first = firsts[groups[stored:]]
    has_features = rows_first < stored
    found.locations[ids[has_features]] = locations[by_place[rows_first[has_features]]]
    is_wanted = np.zeros(len(firsts), np.bool_)
    is_wanted[groups[stored:]] = True
    absent = firsts[firsts >= stored] - stored
    found.is_first_missing[ids[absent]] = True
    return int(is_wanted.sum()), len(absent)


def _groups(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row's group of equal keys, int64 [n], and each group's first row, int64 [groups]."""
    order = np.argsort(keys[:, 1])
    is_new, is_same_word = _steps(keys, order)
    if (is_new & is_same_word).any():  # one word does not tell them apart
        order = np.lexsort(keys.T)
        is_new, _ = _steps(keys, order)
    starts = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    groups = np.empty(len(keys), np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(is_new)])
    return groups, np.minimum.reduceat(order, starts)


def _steps(keys: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row in this order, from the second, has another key than the row before it, and whether
    it has the second word of that row, bool [n - 1] each.
    """
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    return ~(same[:, 0] & same[:, 1] & same[:, 2] & same[:, 3]), same[:, 1]


class _Sieve:
    """Leaves out most keys that are not among those added, in 16 MB at the most."""

    def __init__(self, keys: int):
        bits = min(_SIEVE_BITS, (8 * keys).bit_length())
        self._mask = np.uint64((1 << bits) - 1)
        self._seen = np.zeros(1 << bits, np.bool_)

    def add(self, keys: np.ndarray) -> None:
        """Let these keys through."""
        self._seen[self._places(keys)] = True

    def holds(self, keys: np.ndarray) -> np.ndarray:
        """bool [n]: False for keys that were certainly not added."""
        return self._seen[self._places(keys)]

    def _places(self, keys: np.ndarray) -> np.ndarray:
        return (keys[:, 2] & self._mask).astype(np.int64)
