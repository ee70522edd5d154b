"""From locations to features of tokens, of rows that have different numbers of them."""

from collections.abc import Sequence

import numpy as np

from .errors import DamagedShard
from .locations import ROW_BITS, ROW_MASK
from .mapped import MappedFeatures, is_in_order
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
            lengths = self.lengths(locations)
            rows = self.read_rows(locations, lengths, self.room(int(lengths.sum(dtype=np.int64))))
            return rows.padded(self.spec.shape[0])
        with self._lock:
            return self.take(locations)

    def take_padded(self, locations: np.ndarray) -> np.ndarray:
        """Features [n, tokens of the longest, width] in the stored dtype, of locations int64 [n]."""
        lengths = self.lengths(locations)
        return self.gather_padded(self.offsets(locations), lengths)

    def lengths(self, locations: np.ndarray) -> np.ndarray:
        """Tokens of each row, int32 [n]."""
        numbers = locations >> ROW_BITS
        order = np.argsort(numbers, kind="stable")
        shards, begins = np.unique(numbers[order], return_index=True)
        found = np.empty(len(locations), np.int32)
        for number, places in zip(shards.tolist(), np.split(order, begins[1:]), strict=False):
            lengths = self._shard(number).lengths
            if lengths is None:
                raise DamagedShard(str(self._paths[number]), "has no numbers of tokens")
            found[places] = lengths[locations[places] & ROW_MASK]
        return found

    def offsets(self, locations: np.ndarray) -> np.ndarray:
        """See :meth:`MappedFeatures.offsets`."""
        if not len(locations):
            return np.empty(0, np.int64)
        self._touched(locations)
        numbers = locations >> ROW_BITS
        place = np.searchsorted(self._numbers, numbers)
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
        starts = [
            self._shard(number).starts_of(np.arange(self._shard(number).rows))
            + self._maps[number].address
            - base
            for number in self._numbers.tolist()
        ]
        self._row_starts = np.concatenate(starts)
        sizes = np.array([len(some) for some in starts])
        self._first_of_shard = np.cumsum(sizes) - sizes


def mapped_features(
    shards: Sequence[str], spec: FeatureSpec, use: FeatureSpec | None = None
) -> MappedFeatures:
    """Random access to the rows of shards, of any layout."""
    return (MappedTokens if spec.is_ragged else MappedFeatures)(shards, spec, use)
