"""From locations to features of tokens, of rows that have different numbers of them."""

from collections.abc import Sequence

import numpy as np

from .errors import DamagedShard
from .locations import ROW_BITS, ROW_MASK
from .mapped import MappedFeatures, is_in_order, parts_of
from .pieces import rows_beyond
from .places import CacheFull
from .spec import FeatureSpec
from .token_rows import TokenRows, padded_mask, padded_to


class MappedTokens(MappedFeatures):
    """Random access to ragged rows."""

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
            return self.gather_padded(self.offsets(locations), self.lengths(locations))
        except CacheFull:
            order = np.argsort(locations, kind="stable")
            rows = self.read_in_order(locations[order]).padded()
            placed = np.empty_like(rows)
            placed[order] = rows
            return placed

    def take_prepared(self, locations: np.ndarray) -> np.ndarray:
        """See :meth:`MappedFeatures.take_prepared`."""
        return padded_to(self.take_prepared_padded(locations, self.lengths(locations)), self.spec.shape[0])

    def take_prepared_padded(self, locations: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Features as of :meth:`take_padded`, of locations among those prepared last, and of their lengths;
        by any number of threads.
        """
        if not len(locations):
            return self.room(0)[None][:0]
        return self.gather_padded(self._offsets_in(self._groups_of(locations), locations), lengths)

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
        place = np.searchsorted(self._numbers, locations >> ROW_BITS)
        return self._row_starts[self._first_of_shard[place] + (locations & ROW_MASK)]

    def gather_padded(self, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Features [n, longest, width] in the stored dtype, of :meth:`offsets` and of the rows' lengths."""
        is_token = padded_mask(lengths)
        if not is_token.any():
            return np.zeros((*is_token.shape, self.spec.shape[1]), self.spec.numpy_dtype)
        steps = np.arange(is_token.shape[1]) * self._stored.vector_bytes
        places = np.where(
            is_token, offsets[:, None] + steps, 0
        )  # padding is read from anywhere, then cleared
        pieces = self._view[places[..., None] + self._pieces]
        features = pieces.reshape(len(offsets), -1).view(self.spec.numpy_dtype)
        features = features.reshape(*is_token.shape, self.spec.shape[1])
        features[~is_token] = 0
        return features

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

    def room(self, tokens: int) -> np.ndarray:
        """Room for the vectors of so many tokens."""
        return np.empty((tokens, self.spec.shape[1]), self.spec.numpy_dtype)

    def _map(self, numbers: np.ndarray) -> None:
        super()._map(numbers)
        self._numbers = np.array(sorted(self._maps))
        base = min(data.address for data in self._maps.values())
        starts = []
        for number in self._numbers.tolist():
            shard = self._shard(number)
            starts.append(shard.starts_of(np.arange(shard.rows)) + (self._maps[number].address - base))
        self._row_starts = np.concatenate(starts)
        sizes = np.array([len(some) for some in starts])
        self._first_of_shard = np.cumsum(sizes) - sizes


def mapped_features(
    shards: Sequence[str], spec: FeatureSpec, use: FeatureSpec | None = None
) -> MappedFeatures:
    """Random access to the rows of shards, of any layout."""
    return (MappedTokens if spec.is_ragged else MappedFeatures)(shards, spec, use)
