"""The row groups of mapped shards: which one a row is in, where it lies in memory, whether it is verified."""

from collections.abc import Iterator, Sequence

import numpy as np

from .locations import ROW_BITS, ROW_MASK
from .pieces import rows_beyond
from .shard import Shard


class MappedGroups:
    """Row groups in the order of their locations, numbered anew when shards are added.

    To add a shard takes a few array operations on what is there and nothing else, since a reader may come to
    its shards one by one.
    """

    def __init__(self, shards: int):
        self.starts = self.stops = self.addresses = np.empty(0, np.int64)
        """The location of the first row of each, the one after its last row, and the address of its rows."""
        self.is_sound = np.empty(0, np.bool_)
        """Which are verified."""
        self.all_sound = True
        self.even_rows = 0
        """Rows of all row groups but the last of each shard, where they have equally many; else 0."""
        self._firsts, self._rows = np.zeros(shards, np.int64), np.zeros(shards, np.int64)  # by shard
        self._sizes: set[int] = set()
        self._last_rows = 0

    def add(self, shards: Sequence[tuple[int, Shard, int]]) -> None:
        """Add shards by number, each with the address of its map."""
        starts = [(number << ROW_BITS) + shard.first_rows for number, shard, _ in shards]
        stops = [(n << ROW_BITS) + np.append(shard.first_rows[1:], shard.rows) for n, shard, _ in shards]
        addresses = [address + shard.first_bytes for _, shard, address in shards]
        order = np.argsort(np.concatenate([self.starts, *starts]), kind="stable")
        self.starts = np.concatenate([self.starts, *starts])[order]
        self.stops = np.concatenate([self.stops, *stops])[order]
        self.addresses = np.concatenate([self.addresses, *addresses])[order]
        self.is_sound = np.concatenate([self.is_sound, *(shard.sound for _, shard, _ in shards)])[order]
        self.all_sound = bool(self.is_sound.all())
        numbers = self.starts >> ROW_BITS
        firsts = np.flatnonzero(np.diff(numbers, prepend=-1))
        self._firsts[numbers[firsts]] = firsts
        for number, shard, _ in shards:
            self._rows[number] = shard.rows
            self._sizes.update(np.unique(np.diff(shard.first_rows)).tolist())
            self._last_rows = max(self._last_rows, shard.rows - int(shard.first_rows[-1]))
        # With one row group in each shard, any number that holds it.
        common = max(self._sizes, default=self._last_rows)
        self.even_rows = common if len(self._sizes) < 2 and self._last_rows <= common else 0

    def of(self, locations: np.ndarray) -> np.ndarray:
        """Numbers of the row groups int64 [n] of locations int64 [n]. Raises StoreError for rows that are not
        there.
        """
        if self.even_rows:  # as enc writes them: a division in place of a search
            numbers, rows = locations >> ROW_BITS, locations & ROW_MASK
            if (rows >= self._rows[numbers]).any():
                raise rows_beyond()
            return self._firsts[numbers] + rows // self.even_rows
        group = np.searchsorted(self.starts, locations, side="right") - 1
        if (locations >= self.stops[group]).any():
            raise rows_beyond()
        return group

    def unsound(self, groups: np.ndarray) -> np.ndarray:
        """Those of row groups int64 [n] that are not verified yet, each once, ascending."""
        is_touched = np.zeros(len(self.starts), np.bool_)
        is_touched[groups] = True
        return np.flatnonzero(is_touched & ~self.is_sound)

    def in_shards(self, groups: np.ndarray) -> Iterator[tuple[int, int]]:
        """The number of the shard of each row group, and the row group's number in it."""
        numbers = self.starts[groups] >> ROW_BITS
        return zip(numbers.tolist(), (groups - self._firsts[numbers]).tolist(), strict=True)

    def now_sound(self, groups: np.ndarray) -> None:
        """Note that row groups are verified."""
        self.is_sound[groups] = True
        self.all_sound = bool(self.is_sound.all())
