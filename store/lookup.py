"""Which rows have features, where these are, and which texts have none.

One join of all keys would need 50 to 70 bytes a row. So the stored keys are held in memory where they are
few (:data:`INDEX_KEYS`), and the rows' keys are looked up as they come. Else the keys of both are put into
ranges, and compared range by range. Memory is about 50 MB for any number of rows and stored features, and a
byte a row. The locations that are found take up 8 bytes a row of a file.
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
from .key_index import NOWHERE, KeyIndex
from .key_ranges import KeyRanges, first_rows
from .listed_shards import ListedShards, Wanted
from .locations import ROW_BITS
from .sides import require_joint
from .stage import Stage
from .stored_keys import keys_of, stored_keys

INDEX_KEYS = 1 << 20  # so many stored keys are held in memory, where the rows are not far fewer
_STORED_TO_ROWS = 4  # from here on, leaving out what is not wanted is quicker than an index of all
_SIEVE_BITS = 24
_CHUNK_IDS = 1 << 17  # about as many rows as DuckDB keeps together


@dataclass(frozen=True)
class Lookup:
    """What the shards hold of a source's texts. Arrays are by the rows' ``id``, from 0."""

    locations: np.ndarray
    """int64 [ids]: where each row's features are; NOWHERE if there are none, or the row cannot be used.

    The array is in a file of the workspace, which the system may put out of memory at any time.
    """
    is_first_missing: np.ndarray
    """bool [ids]: whether the row is the first with a text that has no features."""
    distinct: int
    """Distinct texts or pairs of the source."""
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
    with closing(Finder(stage.con, shards, rows=stage.rows, ids=stage.ids)) as finder:
        return look_up_in(finder, stage)


def look_up_in(finder: "Finder", stage: Stage) -> Lookup:
    """Look for the features of a stage's texts by a finder that has been given nothing yet.

    Raises SourceError for pairs that are encoded apart, whose texts have a place each: see
    :func:`enc.store.sides.encoded_texts`.
    """
    if stage.pair_column is not None:
        require_joint(stage.source)
    for words, ids in keys_of(stage.con, plan.rows_sql(stage.name, "key, id", "true")):
        finder.add(words, ids)
    return finder.finish()


class Finder:
    """Finds where the features of rows are stored; the rows' keys are added many at a time, in any order.

    A row may be added again with the same key.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, shards: Sequence[str], *, rows: int, ids: int):
        """``rows`` is about how many will be added, and their ids are below ``ids``."""
        self._con, self._folder, self._shards, self._rows = con, folder_of(con), shards, rows
        self.locations = _nowhere(self._folder, ids)
        self._is_first_missing = np.zeros(ids, np.bool_)
        self._known = self._absent = 0
        self._stored = _stored_rows(con, shards)
        self._missing = KeyRanges(self._folder, rows)
        self._index: KeyIndex | None = None
        if self._stored <= min(INDEX_KEYS, _STORED_TO_ROWS * rows):
            self._index = _index_of(con, shards, self._stored)
            self._is_used = np.zeros(len(self._index), np.bool_)
        else:
            self._wanted = KeyRanges(self._folder, rows + self._stored)
            self._sieve = _Sieve(rows)
            self._asked = Wanted()

    def add(self, words: np.ndarray, ids: np.ndarray) -> None:
        """Look for keys, uint64 [n, 4] as of :func:`enc.store.key_ranges.key_words`, of rows int64 [n]."""
        if self._index is not None:
            self._match(self._index, self._is_used, words, ids)
        else:
            self._wanted.add(words, ids)
            self._sieve.add(words)
            self._asked.add(words)

    def finish(self) -> Lookup:
        """What was found of all rows that were added."""
        if self._index is None:
            self._match_ranges()
        else:
            self._known = int(np.count_nonzero(self._is_used))
        self._absent = sum(self._first_missing(number) for number in range(len(self._missing)))
        return Lookup(self.locations, self._is_first_missing, self._known + self._absent, self._absent)

    def find_missing_in(self, shards: Sequence[str], first_shard: int) -> None:
        """Look for what was not found, after :meth:`finish`, in more shards.

        The first of these shards has the number ``first_shard`` in locations.
        """
        with closing(KeyRanges(self._folder, self._rows)) as known:
            for words, locations in stored_keys(self._con, shards, None):
                known.add(words, locations + (first_shard << ROW_BITS))
            for number in range(len(self._missing)):
                index = KeyIndex(*known.range(number))
                words, ids = self._missing.range(number)
                found = index.find(words)
                is_found = found != NOWHERE
                self.locations[ids[is_found]] = index.numbers[found[is_found]]

    def close(self) -> None:
        """Remove the temporary files; the locations stay."""
        self._missing.close()
        if self._index is None:
            self._wanted.close()

    def _match_ranges(self) -> None:
        with closing(KeyRanges(self._folder, self._rows + self._stored)) as known:
            for words, locations in stored_keys(self._con, self._shards, self._asked):
                held = self._sieve.holds(words)
                known.add(words[held], locations[held])
            for number in range(len(known)):
                index = KeyIndex(*known.range(number))
                is_used = np.zeros(len(index), np.bool_)
                self._match(index, is_used, *self._wanted.range(number))
                self._known += int(np.count_nonzero(is_used))

    def _match(self, index: KeyIndex, is_used: np.ndarray, words: np.ndarray, ids: np.ndarray) -> None:
        found = index.find(words)
        is_missing = found == NOWHERE
        if is_missing.any():
            self._missing.add(words[is_missing], ids[is_missing])
            found, ids = found[~is_missing], ids[~is_missing]
        is_used[found] = True
        self.locations[ids] = index.numbers[found]

    def _first_missing(self, number: int) -> int:
        """Mark the first rows of a range's missing keys; returns how many keys there are."""
        words, ids = self._missing.range(number)
        if not len(ids):
            return 0
        firsts = first_rows(words)
        self._is_first_missing[ids[firsts]] = True
        return len(firsts)


def _index_of(con: duckdb.DuckDBPyConnection, shards: Sequence[str], stored: int) -> KeyIndex:
    """An index of the keys of shards, which have ``stored`` rows."""
    keys, locations, filled = np.empty((stored, 4), np.uint64), np.empty(stored, np.int64), 0
    for words, some in stored_keys(con, shards, None):
        part = slice(filled, filled + len(words))
        keys[part], locations[part] = words, some
        filled = part.stop
    return KeyIndex(keys[:filled], locations[:filled])


def _nowhere(folder: Path, ids: int) -> np.ndarray:
    """An array in a file, int64 [ids], of nothing but NOWHERE."""
    if not ids:
        return np.empty(0, np.int64)
    with tempfile.TemporaryFile(dir=folder) as file:
        places = np.memmap(file, np.int64, "w+", shape=(ids,))
    places[:] = NOWHERE
    return places


def _stored_rows(con: duckdb.DuckDBPyConnection, shards: Sequence[str]) -> int:
    if isinstance(shards, ListedShards):
        return shards.rows
    return count(con, f"({plan.shard_keys_sql(shards)})") if shards else 0


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
