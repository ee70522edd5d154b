"""The rows of pairs that were encoded apart, served as one block: both texts' features, put together."""

from collections.abc import Callable, Iterator
from threading import Lock
from zlib import crc32

import numpy as np

from ...store import FeatureSpec, SourceError
from ...store.batches import PlannedFeatures
from ...store.duck import available_memory
from ...store.orders import epoch_order, rank_share
from .alignment import CommonDirections
from .combination import Combination
from .fourier import fourier_tables

_BLOCK_BYTES = 32 << 20  # of both texts' features in float32, at a time
_RAM_SHARE = 0.5  # of the available memory, for combined rows held in it
_NARROW = ("cosines", "alignment")
_MAKING = Lock()  # several threads read the same rows
_FIT_ROWS = 20_000  # of numbers that a layer that bends is fitted to
_COMMON_ROWS = 1000  # whose tokens tell what tokens have in common


def combined_rows(
    combination: Combination,
    spec: FeatureSpec,
    features: Callable[[slice], tuple[np.ndarray, np.ndarray]],
    counts: np.ndarray | None,
    rows: int,
) -> np.ndarray:
    """Combined rows float32 [rows, width], made block by block.

    ``features`` gives the features of both texts of some of the rows; for ``counts`` see
    :meth:`Combination.base`.
    """
    if combination.names == ("words",) and counts is not None:
        return counts
    made, step = np.empty((rows, combination.width(spec)), np.float32), block_rows(spec)
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        made[part] = combination(spec, *features(part), None if counts is None else counts[part])
    return made


def block_rows(spec: FeatureSpec) -> int:
    """How many pairs are put together at a time."""
    return max(1, _BLOCK_BYTES // (8 * int(np.prod(spec.shape))))


class PairFeatures:
    """The combined rows of a plan of pairs, as :class:`store.batches.PlannedFeatures` serves single texts.

    ``first`` and ``second`` are the plans of both texts, ``counts`` float32 [rows, …] the pairs' word counts
    where the combination needs them. In mode ``ram`` the combined rows are made once and held, in mode
    ``mapped`` they are made batch by batch. The attribute ``spec`` is the setting of the single texts'
    features; what is served has :attr:`shape`, float32.
    """

    def __init__(
        self,
        first: PlannedFeatures,
        second: PlannedFeatures,
        combination: Combination,
        counts: np.ndarray | None = None,
        *,
        batches: str | None = None,
    ):
        if batches == "streamed":
            raise SourceError(
                "the texts of a pair lie in two places of the store, and cannot be streamed; "
                "pass --batches ram or mapped"
            )
        self.spec, self.rows, self.combination = first.spec, first.rows, combination
        self._first, self._second, self._counts, self._asked = first, second, counts, batches
        self._narrow: dict[str, np.ndarray] = {}
        self._made: np.ndarray | None = None
        self.shape = (combination.width(self.spec),)
        size = 4 * self.rows * self.shape[0]
        self.mode = batches or ("ram" if size <= available_memory() * _RAM_SHARE else "mapped")

    @property
    def locations(self) -> np.ndarray:
        """int64 [rows]: a number that rows have in common where their texts are equal, in any order."""
        both = np.sort(np.stack([self._first.locations, self._second.locations], axis=1), axis=1)
        return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)

    def part(self, use: FeatureSpec | None = None, rows: np.ndarray | None = None) -> "PairFeatures":
        """Other parts of the stored features, whose combination has to be fitted anew; or some of the rows,
        int64 positions, in the order given.
        """
        first, second = (side.part(use, rows) for side in (self._first, self._second))
        counts = self._counts if self._counts is None or rows is None else self._counts[rows]
        is_other = first.spec != self.spec
        combination = self.combination.without_features() if is_other else self.combination
        part = PairFeatures(first, second, combination, counts, batches=self._asked)
        if rows is not None and not is_other and self.mode == "ram":
            part._made = self._held[rows]
        return part

    def fitted(self) -> "PairFeatures":
        """The rows, combined by tables that are learned from them, where these were not learned before."""
        combination = self.combination
        if combination.needs_tokens and "common" not in combination.tables:
            sample = np.arange(0, self.rows, -(-self.rows // _COMMON_ROWS))
            common, step = CommonDirections(self.spec), block_rows(self.spec)
            for start in range(0, len(sample), step):
                for side in (self._first, self._second):
                    common.add(side.take(sample[start : start + step]))
            combination = combination.with_tables(common=common.table())
        if combination.bends and "rbf.mean" not in combination.tables:
            sample = np.arange(0, self.rows, -(-self.rows // _FIT_ROWS))
            numbers = self.combined_by(combination.numbers).take(sample)
            arguments = combination.arguments
            tables = fourier_tables(numbers, combination.components, arguments.get("seed", 0))
            combination = combination.with_tables(**{f"rbf.{name}": one for name, one in tables.items()})
        return self.combined_by(combination)

    def combined_by(self, combination: Combination) -> "PairFeatures":
        """The rows, combined in another way."""
        other = PairFeatures(self._first, self._second, combination, self._counts, batches=self._asked)
        other._narrow = self._narrow
        return other

    @property
    def order(self) -> str:
        """A text of what, besides seed and epoch, decides an epoch's order."""
        return f"{self.rows} rows"

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Combined rows float32 [n, width], of positions int64 [n]."""
        if self.mode == "ram":
            return np.take(self._held, positions, axis=0)
        return self._combined(self.combination, positions)

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Rows ``first`` to ``stop`` (or to the last) in the plan's order, at most ``rows`` at a time.

        They must not be written to.
        """
        stop = self.rows if stop is None else stop
        for start in range(first, stop, rows):
            end = min(start + rows, stop)
            if self.mode == "ram":
                yield self._held[start:end]
            else:
                yield self._combined(self.combination, np.arange(start, end))

    def epoch(
        self, seed: int, epoch: int, batch_size: int, *, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """An epoch's batches: positions int64 [n], and their combined rows; see
        :meth:`store.batches.PlannedFeatures.epoch`.
        """
        first, stop = rank_share(self.rows, rank, world_size)
        order = epoch_order(self.rows, seed, epoch)[first + start : stop]
        for begin in range(0, len(order), batch_size):
            positions = order[begin : begin + batch_size].astype(np.int64)
            yield positions, self.take(positions)

    @property
    def _held(self) -> np.ndarray:
        """All combined rows, made by the thread that asks first."""
        with _MAKING:
            if self._made is None:
                self._made = self._all_rows()
            return self._made

    def _all_rows(self) -> np.ndarray:
        """All combined rows. What is narrow of them, and takes long, is kept for other combinations."""
        numbers, rows = self.combination.numbers, np.arange(self.rows)
        fresh = tuple(name for name in numbers.names if self._key(name) not in self._narrow)
        blocks = {name: self._narrow[self._key(name)] for name in numbers.names if name not in fresh}
        if fresh:
            chosen = numbers.selected(fresh)
            made = self._combined(chosen, rows)
            stops = np.cumsum([chosen.selected((name,)).width(self.spec) for name in fresh])
            blocks |= zip(fresh, np.split(made, stops[:-1], axis=1), strict=True)
            self._narrow |= {self._key(name): blocks[name].copy() for name in fresh if name in _NARROW}
            if fresh == numbers.names:
                return self.combination.bent(made)
        return self.combination.bent(np.concatenate([blocks[name] for name in numbers.names], axis=1))

    def _key(self, name: str) -> str:
        """What a block of numbers depends on, besides the features and the texts."""
        common = self.combination.tables.get("common")
        return f"{name} {crc32(common.tobytes())}" if name == "alignment" and common is not None else name

    def _combined(self, combination: Combination, positions: np.ndarray) -> np.ndarray:
        def features(part: slice) -> tuple[np.ndarray, np.ndarray]:
            return self._first.take(positions[part]), self._second.take(positions[part])

        counts = None if self._counts is None else self._counts[positions]
        return combined_rows(combination, self.spec, features, counts, len(positions))
