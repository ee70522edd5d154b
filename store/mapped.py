"""From locations to feature arrays: a gather over the memory maps of all shards, or reads of files."""

import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa

from .errors import NotMapped
from .locations import ROW_BITS, ROW_MASK
from .mapped_groups import MappedGroups
from .maps import require_maps
from .pieces import at_every_byte, row_pieces
from .places import reading_threads
from .shard import Shard
from .spec import FeatureSpec

_PART_ROWS = 1 << 17
_THREADS = 4  # checksums are computed without Python's lock; more threads wait for memory
_FETCHING_THREADS = 8  # each holds a row group


class MappedFeatures:
    """Random access to the feature rows of a list of shards, opened when first touched.

    A row group is verified (:meth:`Shard.verify`) before a row of it is first served. ``use`` is a part of
    the stored setting: features have its shape, and only its bytes are served. Ragged rows are served by
    :class:`enc.store.mapped_tokens.MappedTokens`.
    """

    def __init__(self, shards: Sequence[str], spec: FeatureSpec, use: FeatureSpec | None = None):
        if spec.is_ragged and type(self) is MappedFeatures:
            raise ValueError("rows of different lengths are read by MappedTokens; call mapped_features")
        self.spec = use or spec
        self._paths, self._stored = shards, spec
        self._pieces, self._piece_type = row_pieces(spec, self.spec)
        self._gather_pieces, self._gather_type = self._pieces, self._piece_type
        if len(self.spec.shape) == 2 and len(self._pieces) == 1 and not spec.is_ragged:
            # Smaller pieces: numpy lets other threads run from 500 pieces on.
            vector = self.spec.row_bytes // self.spec.shape[0]
            self._gather_pieces = np.arange(self.spec.shape[0]) * vector
            self._gather_type = np.dtype((np.void, vector))
        self._shards: dict[int, Shard] = {}
        self._maps: dict[int, pa.Buffer] = {}
        self._is_mapped = np.zeros(len(self._paths), bool)
        self._span = (1 << 63, 0)  # the addresses of all maps
        self._groups = MappedGroups(len(self._paths))
        self._lock = threading.Lock()

    def take(self, locations: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of locations int64 [n] (:mod:`enc.store.locations`)."""
        try:
            return self.gather(self.offsets(locations))
        except NotMapped:
            return self._read_in_any_order(locations)

    def fetch(self, locations: np.ndarray) -> np.ndarray:
        """Features as of :meth:`take`, of rows that are asked for once, by any number of threads.

        Rows in the order in which they are stored are read: to map a page for one use costs more.
        """
        if len(locations) > 1 and is_in_order(locations):
            features = self.empty(len(locations))
            self.read(locations, features)
            return features
        with self._lock:  # the offsets of one thread are good for the view of that time alone
            try:
                offsets = self.offsets(locations)
            except NotMapped:
                return self._read_in_any_order(locations)
            view = self._view if len(offsets) else None
        return self.gather(offsets, view)

    def _read_in_any_order(self, locations: np.ndarray) -> np.ndarray:
        order = np.argsort(locations, kind="stable")
        features, placed = self.empty(len(locations)), self.empty(len(locations))
        self.read(locations[order], features)
        placed[order] = features
        return placed

    def offsets(self, locations: np.ndarray) -> np.ndarray:
        """Where the rows of locations are in the maps, int64 [n].

        The offsets are good until locations in other shards are asked for.
        """
        if not len(locations):
            return np.empty(0, np.int64)
        return self._offsets_in(self._touched(locations), locations)

    def _touched(self, locations: np.ndarray) -> np.ndarray:
        """Row groups int64 [n] of locations, over all mapped shards; they are mapped now, and verified."""
        numbers = locations >> ROW_BITS
        if not self._is_mapped[numbers].all():
            self._map(np.unique(numbers))
        group = self._groups.of(locations)
        if not self._groups.all_sound:
            self._verify(group)
        return group

    def _offsets_in(self, group: np.ndarray, locations: np.ndarray) -> np.ndarray:
        return self._bytes[group] + (locations - self._groups.starts[group]) * self._stored.row_bytes

    def prepare(self, locations: np.ndarray) -> None:
        """Map the shards of all locations, and verify their row groups, several at a time."""
        is_used = np.zeros(len(self._paths), np.bool_)
        for part in parts_of(locations):
            is_used[part >> ROW_BITS] = True
        if not is_used.any():
            return
        self._map(np.flatnonzero(is_used))
        touched = np.zeros(len(self._groups.starts), np.bool_)
        for part in parts_of(locations):
            touched[self._groups.of(part)] = True
        self._verify(np.flatnonzero(touched))

    def take_prepared(self, locations: np.ndarray) -> np.ndarray:
        """Features as of :meth:`take`, of locations among those prepared last, by any number of threads."""
        if not len(locations):
            return self.empty(0)
        return self.gather(self._offsets_in(self._groups.of(locations), locations))

    def gather(self, offsets: np.ndarray, view: np.ndarray | None = None) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of :meth:`offsets`, in the maps of now or in a view."""
        if not len(offsets):
            return self.empty(0)
        rows = (self._view if view is None else view)[
            offsets[:, None] + self._gather_pieces
            if len(self._gather_pieces) > 1
            else offsets + self._gather_pieces
        ]
        return (
            rows.reshape(len(offsets), -1).view(self.spec.numpy_dtype).reshape(len(offsets), *self.spec.shape)
        )

    def read(self, locations: np.ndarray, out: np.ndarray) -> None:
        """Read features of locations into ``out`` [n, *shape], without maps; quickest where they ascend."""
        done = 0
        for part in parts_of(locations):
            pieces = self._as_pieces(out[done : done + len(part)])
            self._read(part, pieces, np.arange(len(part) + 1))
            done += len(part)

    def _as_pieces(self, out: np.ndarray) -> np.ndarray:
        return out.reshape(len(out), math.prod(out.shape[1:])).view(self._piece_type)

    def _read(self, locations: np.ndarray, pieces: np.ndarray, stops: np.ndarray) -> None:
        """Read rows into pieces; those of row n are ``pieces[stops[n] : stops[n + 1]]``."""
        for shard, rows, place in self._verified_runs(locations):
            shard.read(rows, pieces[stops[place.start] : stops[place.stop]])

    def _verified_runs(self, locations: np.ndarray) -> list[tuple[Shard, np.ndarray, slice]]:
        """Shards, rows in them, and which of the locations these are; the row groups are verified now."""
        numbers = locations >> ROW_BITS
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        runs = [
            (self._shard(int(numbers[begin])), locations[begin:end] & ROW_MASK, slice(begin, end))
            for begin, end in pairwise(bounds)
            if begin < end
        ]
        unsound = (
            (shard, np.unique(shard.groups_of(rows))) for shard, rows, _ in runs if not shard.sound.all()
        )
        verify_groups(unsound, Shard.is_here)
        return runs

    def verify(self, locations: np.ndarray) -> None:
        """Verify the row groups of all locations now, several at a time."""
        touched: dict[int, np.ndarray] = {}
        for part in parts_of(locations):
            numbers = part >> ROW_BITS
            order = np.argsort(numbers, kind="stable")
            found, begins = np.unique(numbers[order], return_index=True)
            for number, rows in zip(
                found.tolist(), np.split(part[order] & ROW_MASK, begins[1:]), strict=False
            ):
                shard = self._shard(number)
                is_touched = touched.setdefault(number, np.zeros(len(shard.first_rows), np.bool_))
                is_touched[shard.groups_of(rows)] = True
        groups = ((self._shard(number), np.flatnonzero(some)) for number, some in touched.items())
        verify_groups(groups, Shard.is_here)

    def empty(self, rows: int) -> np.ndarray:
        """Room for features of so many rows."""
        return np.empty((rows, *self.spec.shape), self.spec.numpy_dtype)

    def _shard(self, number: int) -> Shard:
        if number not in self._shards:
            self._shards[number] = Shard(self._paths[number], self._stored, self.spec)
        return self._shards[number]

    def _map(self, numbers: np.ndarray) -> None:
        """Map those of these shards that are not mapped yet.

        The view spans the addresses from the first map to the end of the last, with whatever lies
        between them: a batch is one gather, however many shards its rows are in. Only offsets in the
        row groups of mapped shards may be used with it.
        """
        new = numbers[~self._is_mapped[numbers]].tolist()
        require_maps(len(self._maps) + len(new))
        maps = {number: self._shard(number).map() for number in new}
        if maps:
            self._add_maps(maps)

    def _add_maps(self, maps: dict[int, pa.Buffer]) -> None:
        """Take in maps of shards by number."""
        self._maps |= maps
        low = min(data.address for data in maps.values())
        high = max(data.address + data.size for data in maps.values())
        self._span = min(self._span[0], low), max(self._span[1], high)
        size = self._span[1] - self._span[0]
        self._view = at_every_byte(
            (ctypes.c_char * size).from_address(self._span[0]), size, self._gather_type
        )
        self._groups.add([(number, self._shards[number], data.address) for number, data in maps.items()])
        self._bytes = self._groups.addresses - self._span[0]
        self._is_mapped[list(maps)] = True

    def _verify(self, groups: np.ndarray) -> None:
        """Verify row groups int64 [n], numbered over all mapped shards."""
        unsound = self._groups.unsound(groups)
        chosen = self._groups.in_shards(unsound)
        verify_groups((self._shards[number], np.array([group])) for number, group in chosen)
        self._groups.now_sound(unsound)


def parts_of(locations: np.ndarray) -> Iterator[np.ndarray]:
    """The locations, so many at a time that what is computed of them takes up little memory."""
    return (locations[start : start + _PART_ROWS] for start in range(0, len(locations), _PART_ROWS))


def is_in_order(locations: np.ndarray) -> bool:
    """Whether locations ascend, and most of the rows between the first and the last are among them."""
    span = int(locations[-1] - locations[0])
    within = span < 2 * len(locations) or int(locations[0] >> ROW_BITS) != int(locations[-1] >> ROW_BITS)
    return within and bool((np.diff(locations) >= 0).all())


def verify_groups(
    groups: Iterable[tuple[Shard, np.ndarray]], verify: Callable[[Shard, int], object] = Shard.verify
) -> None:
    """Verify row groups of shards, several at a time; those that are verified cost nothing."""
    waiting = [(shard, g) for shard, some in groups for g in some[~shard.sound[some]].tolist()]
    if len(waiting) < 2:
        for shard, group in waiting:
            verify(shard, group)
        return
    at_once = reading_threads(waiting[0][0].path, min(_THREADS, os.cpu_count() or 1), _FETCHING_THREADS)
    with ThreadPoolExecutor(at_once, "enc-verify") as threads:
        for _ in threads.map(lambda one: verify(*one), waiting):
            pass
