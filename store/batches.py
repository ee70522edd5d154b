"""From locations to feature arrays."""

from collections.abc import Iterator, Sequence

import numpy as np

from .duck import available_memory
from .plan import ROW_BITS, epoch_order
from .shard import Shard
from .spec import FeatureSpec

_ROW_MASK = (1 << ROW_BITS) - 1
_MEMORY_SHARE = 0.5  # of what is available, for features held in memory


class MappedFeatures:
    """Random access to the feature rows of a list of shards, opened when first touched."""

    def __init__(self, shards: Sequence[str], spec: FeatureSpec):
        self.spec = spec
        self._paths = list(shards)
        self._open: dict[int, Shard] = {}

    def take(self, locations: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of locations int64 [n] (see :mod:`store.plan`)."""
        rows = np.empty(len(locations), np.dtype((np.void, self.spec.row_bytes)))
        shards = locations >> ROW_BITS
        for number in np.unique(shards):
            chosen = np.flatnonzero(shards == number)
            rows[chosen] = self._shard(int(number)).take(locations[chosen] & _ROW_MASK)
        return rows.view(self.spec.numpy_dtype).reshape(len(locations), *self.spec.shape)

    def _shard(self, number: int) -> Shard:
        if number not in self._open:
            self._open[number] = Shard(self._paths[number], self.spec)
        return self._open[number]


class PlannedFeatures:
    """The feature rows of a plan, by position in it: row i is the features at ``locations[i]``.

    Held in memory in the plan's order where they fit, gathered from the mapped shards where not.
    """

    def __init__(
        self,
        shards: Sequence[str],
        spec: FeatureSpec,
        locations: np.ndarray,
        *,
        batches: str | None = None,
        use: FeatureSpec | None = None,
        in_memory: bool | None = None,
    ):
        self.spec, self.rows = use or spec, len(locations)
        self._columns = spec.columns(use) if use and use.parts != spec.parts else None
        self._locations, self._mapped = locations, MappedFeatures(shards, spec)
        if in_memory is None:
            in_memory = batches == "ram" if batches else self.rows * self.spec.row_bytes <= available_memory() * _MEMORY_SHARE
        self.mode = "ram" if in_memory else "mapped"
        self._held = self._gather(locations) if in_memory else None

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Features [n, *shape] in the stored dtype, of positions int64 [n]."""
        if self._held is None:
            return self._gather(self._locations[positions])
        return np.take(self._held, positions, axis=0)

    def _gather(self, locations: np.ndarray) -> np.ndarray:
        rows = self._mapped.take(locations)
        return rows if self._columns is None else rows[..., self._columns]

    def epoch(
        self, seed: int, epoch: int, batch_size: int, *, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions int64 [n] and features [n, *shape] of an epoch's batches, in an order by seed and epoch."""
        for number, positions in enumerate(shuffled_batches(epoch_order(self.rows, seed, epoch), batch_size)):
            if number >= start and number % world_size == rank:
                yield positions, self.take(positions)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """All rows in the plan's order, at most ``rows`` at a time."""
        for start in range(0, self.rows, rows):
            yield self.take(np.arange(start, min(start + rows, self.rows)))


def shuffled_batches(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """An order of rows cut into batches; the last may be smaller."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
