"""Candidates that were tried, in their order."""

from collections.abc import Callable, Sequence

import numpy as np

from ..train.best import undefined_metric
from ..train.examples import TrainData
from ..train.solve_config import SolveConfig
from .budget import Budget
from .candidates import Candidate
from .choice import chosen, gains
from .judged import Judged, Stopped, judge

Say = Callable[[str], None]


class Search:
    """Candidates on their folds, each told as it ends."""

    def __init__(self, fold_of: np.ndarray, watched: str, budget: Budget, say: Say):
        self.fold_of, self.watched, self.budget, self._say = fold_of, watched, budget, say
        self.judged: list[Judged] = []
        self.stopped: list[Stopped] = []

    def try_all(self, candidates: Sequence[Candidate], data: TrainData) -> None:
        """Judge candidates, of which the first of a search always comes to its end.

        Raises SourceError where the metric is undefined for all of them.
        """
        for candidate in candidates:
            best = self.best if self.judged else None
            found = judge(candidate, data, self.fold_of, self.watched, self.budget, best)
            if isinstance(found, Judged):
                self.add(found)
            else:
                self.leave(found)
        if not self.judged:
            raise undefined_metric(self.watched)

    def try_one(self, candidate: Candidate, data: TrainData, rival: Judged) -> Judged | None:
        """Judge one that is left where it falls behind a rival; None where it was left."""
        found = judge(candidate, data, self.fold_of, self.watched, self.budget, rival)
        if isinstance(found, Stopped):
            self.leave(found)
            return None
        self.add(found)
        return found

    def add(self, judged: Judged) -> None:
        """Take in what was judged."""
        self.judged.append(judged)
        self.tell(judged)

    def leave(self, stopped: Stopped) -> None:
        """Take in what was left."""
        self.stopped.append(stopped)
        self._say(f"  {stopped.name}: left, {stopped.reason}")

    def tell(self, judged: Judged) -> None:
        """Say what something reached."""
        figures = f"{self.watched} {judged.mean:.4f} ± {judged.error:.4f}"
        self._say(f"  {judged.name}: {figures}, {judged.seconds:.1f} s")

    @property
    def best(self) -> Judged:
        """The best by the metric; of equals, the first."""
        return self.best_of(self.judged)

    @property
    def best_linear(self) -> Judged:
        """The best linear one without words."""
        tried = [(one, one.candidate) for one in self.judged]
        return self.best_of([one for one, what in tried if what and isinstance(what.config, SolveConfig)])

    @property
    def best_straight(self) -> Candidate:
        """The best candidate that does not bend: linear, and without Fourier features."""
        linear = [one for one in self.judged if one.candidate and not one.candidate.bends]
        candidate = self.best_of(linear or self.judged).candidate
        assert candidate is not None
        return candidate

    @property
    def kept(self) -> Judged:
        """The one to keep."""
        return self.kept_of(self.judged)

    def best_of(self, judged: Sequence[Judged]) -> Judged:
        """The best of some by the metric; of equals, the first."""
        return max(judged, key=lambda one: float(gains(self.watched, one.values, 0 * one.values).mean()))

    def kept_of(self, judged: Sequence[Judged]) -> Judged:
        """The one of some to keep, see :func:`engine.auto.choice.chosen`."""
        return judged[chosen(self.watched, [one.values for one in judged])]
