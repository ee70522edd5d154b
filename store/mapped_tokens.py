"""From locations to features of tokens, of rows that have different numbers of them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from .errors import DamagedShard, NotMapped
from .locations import ROW_BITS, ROW_MASK
from .mapped import MappedFeatures, is_in_order, parts_of
from .pieces import rows_beyond
from .ragged_pages import PREFIX_BYTES
from .spec import FeatureSpec
from .token_rows import TokenRows, at_longest, padded_places, padded_to


class MappedTokens(MappedFeatures):
    """Random access to ragged rows."""

    def __init__(self, shards: Sequence[str], spec: FeatureSpec, use: FeatureSpec | None = None):
        super().__init__(shards, spec, use)
        self._addresses = np.empty(0, np.int64)  # of the rows of mapped shards, and room for more
        self._rows = 0
        self._first_rows = np.zeros(len(shards), np.int64)  # of each shard, among the addresses

    def take(self, locations: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of locations int64 [n], with zeros as padding."""
        return padded_to(self.take_padded(locations), self.spec.shape[0])

    def fetch(self, locations: np.ndarray) -> np.ndarray:
        """See :meth:`MappedFeatures.fetch`."""
        if len(locations) > 1 and is_in_order(locations):
            return self.read_in_order(locations).padded(self.spec.shape[0])
        with self._lock:
            return self.take(locations)

    def take_padded(self, locations: np.ndarray) -> np.ndarray:
        """Features [n, tokens of the longest, width] in the stored dtype, of locations int64 [n]."""
        try:
            offsets, lengths = self.offsets(locations), self.lengths(locations)
            return self._gather_slots(offsets, lengths, at_longest(lengths)).reshape(
                self._padded_shape(lengths)
            )
        except NotMapped:
            order = np.argsort(locations, kind="stable")
            rows = self.read_in_order(locations[order]).padded()
            placed = np.empty_like(rows)
            placed[order] = rows
            return placed

    def take_prepared(self, locations: np.ndarray) -> np.ndarray:
        """See :meth:`MappedFeatures.take_prepared`."""
        lengths = self.lengths(locations)
        slots = self.prepared_slots(locations, lengths, at_longest(lengths))
        return padded_to(slots.reshape(self._padded_shape(lengths)), self.spec.shape[0])

    def prepared_slots(self, locations: np.ndarray, lengths: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """Features [sum of widths, width] in the stored dtype, of rows with so many tokens, each padded to
        its own one of ``widths``; of locations among those prepared last, by any number of threads.
        """
        if not len(locations):
            return self.room(0)
        return self._gather_slots(self._offsets_in(self._groups.of(locations), locations), lengths, widths)

    def _padded_shape(self, lengths: np.ndarray) -> tuple[int, int, int]:
        return len(lengths), int(lengths.max(initial=0)), self.spec.shape[1]

    def lengths(self, locations: np.ndarray) -> np.ndarray:
        """Tokens of each row, int32 [n]; to be trusted of rows that were served or verified."""
        found, done = np.empty(len(locations), np.int32), 0
        for part in parts_of(locations):
            numbers = part >> ROW_BITS
            order = np.argsort(numbers, kind="stable")
            shards, begins = np.unique(numbers[order], return_index=True)
            for number, places in zip(shards.tolist(), np.split(order, begins[1:]), strict=False):
                shard, rows = self._shard(number), part[places] & ROW_MASK
                if shard.lengths is None:
                    raise DamagedShard(str(self._paths[number]), "has no numbers of tokens")
                if int(rows.max()) >= shard.rows:
                    raise rows_beyond()
                found[done + places] = shard.lengths[rows]
            done += len(part)
        return found

    def _offsets_in(self, group: np.ndarray, locations: np.ndarray) -> np.ndarray:
        rows = self._first_rows[locations >> ROW_BITS] + (locations & ROW_MASK)
        return self._addresses[rows] - self._span[0]

    def _gather_slots(self, offsets: np.ndarray, lengths: np.ndarray, widths: np.ndarray) -> np.ndarray:
        if not lengths.any():
            return np.zeros((int(widths.sum()), self.spec.shape[1]), self.spec.numpy_dtype)
        places, padding = padded_places(offsets, lengths, widths, self._stored.vector_bytes)
        places[padding] = 0  # which is read, and then cleared
        pieces = self._view[
            places[:, None] + self._pieces if len(self._pieces) > 1 else places + self._pieces
        ]
        slots = pieces.reshape(len(places), -1).view(self.spec.numpy_dtype)
        slots[padding] = 0
        return slots

    def read_in_order(self, locations: np.ndarray) -> TokenRows:
        """Rows of locations that ascend, without maps."""
        lengths = self.lengths(locations)
        return self.read_rows(locations, lengths, self.room(int(lengths.sum(dtype=np.int64))))

    def read_rows(self, locations: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> TokenRows:
        """Read rows into ``out`` [at least their tokens, width], without maps; quickest where they ascend."""
        stops = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        vectors = out[: stops[-1]]
        if len(vectors):
            self._read(locations, self._as_pieces(vectors), stops)
        return TokenRows(vectors, lengths)

    def read_bytes(self, locations: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Read rows whose locations ascend into ``out`` uint8, whose size :meth:`bytes_of` tells; returns the
        byte in it where each row's vectors begin, int64 [n].

        Neighbours are read as they lie in the file, which is quicker than to leave out what is between them.
        """
        starts, done = np.empty(len(locations), np.int64), 0
        for shard, rows, place in self._verified_runs(locations):
            sizes = lengths[place].astype(np.int64) * self.spec.vector_bytes
            if self.spec.vector_bytes != self._stored.vector_bytes or shard.are_away(rows):
                stop = done + int(sizes.sum())
                if stop > done:
                    shard.read(rows, out[done:stop].view(self._piece_type).reshape(-1, len(self._pieces)))
                starts[place] = done + np.cumsum(sizes) - sizes
                done = stop
                continue
            firsts = shard.starts_of(rows)
            begins = np.flatnonzero(np.append(True, firsts[1:] > firsts[:-1] + sizes[:-1] + PREFIX_BYTES))
            ends = np.append(begins[1:], len(rows)) - 1
            stops = firsts[ends] + sizes[ends]
            shard.read_bytes(firsts[begins], stops, out[done:])
            read = np.cumsum(stops - firsts[begins])
            moved = done + read - (stops - firsts[begins]) - firsts[begins]
            starts[place] = firsts + np.repeat(moved, np.diff(np.append(begins, len(rows))))
            done += int(read[-1])
        return starts

    def bytes_of(self, lengths: np.ndarray) -> int:
        """Bytes that :meth:`read_bytes` needs for rows of so many tokens, at the most."""
        tokens = int(lengths.sum(dtype=np.int64))
        return tokens * self.spec.vector_bytes + len(lengths) * PREFIX_BYTES

    def room(self, tokens: int) -> np.ndarray:
        """Room for the vectors of so many tokens."""
        return np.empty((tokens, self.spec.shape[1]), self.spec.numpy_dtype)

    def _add_maps(self, maps: dict[int, pa.Buffer]) -> None:
        shards = [(number, self._shard(number), data.address) for number, data in maps.items()]
        rows = self._rows + sum(shard.rows for _, shard, _ in shards)
        if rows > len(self._addresses):
            grown = np.empty(max(rows, 2 * len(self._addresses)), np.int64)  # shards may come one by one
            grown[: self._rows] = self._addresses[: self._rows]
            self._addresses = grown
        for number, shard, address in shards:
            first, self._rows = self._rows, self._rows + shard.rows
            self._addresses[first : self._rows] = shard.starts_of(np.arange(shard.rows)) + address
            self._first_rows[number] = first
        super()._add_maps(maps)


def mapped_features(
    shards: Sequence[str], spec: FeatureSpec, use: FeatureSpec | None = None
) -> MappedFeatures:
    """Random access to the rows of shards, of any layout."""
    return (MappedTokens if spec.is_ragged else MappedFeatures)(shards, spec, use)
