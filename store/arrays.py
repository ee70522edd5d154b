"""Features that are in memory already, served as those of a feature set are."""

from collections.abc import Iterator

import numpy as np

from .orders import epoch_order
from .spec import FeatureSpec

_GATHER_BYTES = 4 << 20  # of features gathered at a time


class ArrayFeatures:
    """Rows of an array, by position, for what else takes :class:`store.batches.PlannedFeatures`.

    The array is not copied, and must not change. The attribute ``spec`` is the setting of the features,
    ``shape`` the shape of a row's, and ``rows`` the number of rows.
    """

    mode = "ram"

    def __init__(self, values: np.ndarray, spec: FeatureSpec):
        """``values`` are [rows, *spec.shape]."""
        if values.shape[1:] != spec.shape:
            raise ValueError(f"features have shape {values.shape[1:]}, the setting wants {spec.shape}")
        self.spec, self.rows, self.shape = spec, len(values), spec.shape
        self._values = values

    @property
    def locations(self) -> np.ndarray:
        """A number of each row, int64 [rows]: every row is at a place of its own."""
        return np.arange(self.rows)

    @property
    def order(self) -> str:
        """See :attr:`store.batches.PlannedFeatures.order`."""
        return f"{self.rows} rows"

    def part(self, use: FeatureSpec | None = None, rows: np.ndarray | None = None) -> "ArrayFeatures":
        """Some of the rows: int64 positions, in the order given. An array has no other parts."""
        if use is not None and use != self.spec:
            raise ValueError("an array of features has no parts")
        return self if rows is None else ArrayFeatures(self._values[rows], self.spec)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Features [n, *shape] of positions int64 [n]."""
        return np.take(self._values, positions, axis=0)

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rows ``first`` to ``stop`` (or to the last), ``rows`` at a time; they must not be changed."""
        stop = self.rows if stop is None else stop
        return (self._values[start : min(start + rows, stop)] for start in range(first, stop, rows))

    def epoch(self, seed: int, epoch: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An epoch's batches: positions int64 [n], and their features [n, *shape].

        The order is that in which :meth:`store.batches.PlannedFeatures.epoch` serves rows in memory.
        """
        order = epoch_order(self.rows, seed, epoch)
        chunk = batch_size * max(1, _GATHER_BYTES // (batch_size * self._values[:1].nbytes or 1))
        for begin in range(0, self.rows, chunk):
            positions = order[begin : begin + chunk].astype(np.int64)
            features = self.take(positions)
            for start in range(0, len(positions), batch_size):
                yield positions[start : start + batch_size], features[start : start + batch_size]
