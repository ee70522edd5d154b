"""Candidates that were tried, in their order."""

from collections.abc import Callable, Sequence

import numpy as np

from ..train.best import undefined_metric
from ..train.examples import TrainData
from ..train.solve_config import SolveConfig
from .budget import Budget
from .candidates import Candidate
from .choice import best_of, chosen, gains, half_a_point, standard_error
from .judged import Judged, Stopped, judge
from .words import RowJudge

Say = Callable[[str], None]


class Search:
    """Candidates on their folds, each told as it ends."""

    def __init__(self, rows: RowJudge, budget: Budget, say: Say):
        self.rows, self.fold_of, self.watched = rows, rows.fold_of, rows.watched
        self.budget, self._say = budget, say
        self.folds = len(np.unique(self.fold_of))
        self.judged: list[Judged] = []
        self.stopped: list[Stopped] = []

    def try_all(self, candidates: Sequence[Candidate], data: TrainData) -> None:
        """Judge candidates, of which the first of a search always comes to its end.

        Raises SourceError where the metric is undefined for all of them.
        """
        for candidate in candidates:
            whole = [one for one in self.judged if self.is_whole(one)]  # with it, hope is weighed by folds
            best = self.best_of(whole) if whole else None
            found = judge(candidate, data, self.fold_of, self.watched, self.budget, best)
            if isinstance(found, Judged):
                self.add(found)
            else:
                self.leave(found)
        if not self.judged:
            raise undefined_metric(self.watched)

    def try_first(self, candidate: Candidate, data: TrainData) -> Judged | None:
        """Judge a dear one on the first fold; None where it was left."""
        found = judge(candidate, data, self.fold_of, self.watched, self.budget, self.best, slice(1))
        if isinstance(found, Stopped):
            self.leave(found)
            return None
        self.add(found)
        return found

    def try_next(self, judged: Judged) -> bool:
        """Judge one on the next fold; False where there is no time for it.

        One that cannot be judged there for another reason, as when its training diverged, is left as a whole.
        What it was joined to is out of date then, and left out.
        """
        assert judged.candidate is not None
        assert judged.data is not None
        done = len(judged.values)
        found = judge(
            judged.candidate,
            judged.data,
            self.fold_of,
            self.watched,
            self.budget,
            judged,
            slice(done, done + 1),
        )
        if isinstance(found, Stopped) and found.is_late:
            return False
        others = [one for one in self.judged if one.base is not judged]  # arrays have no ==
        if isinstance(found, Stopped):
            self.judged = [one for one in others if one is not judged]
            self.leave(found)
        else:
            more = judged.and_folds(found)
            self.judged = [more if one is judged else one for one in others]
            self.tell(more)
        return True

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
        folds = "" if self.is_whole(judged) else f", {len(judged.values)} of {self.folds} folds"
        figures = f"{self.watched} {judged.mean:.4f} ± {self.error(judged):.4f}"
        self._say(f"  {judged.name}: {figures}, {judged.seconds:.1f} s{folds}")

    def is_whole(self, judged: Judged) -> bool:
        """Whether a candidate was judged on all folds."""
        return len(judged.values) == self.folds

    def error(self, judged: Judged) -> float:
        """Standard error of a candidate's metric."""
        return standard_error(judged.values) if self.is_whole(judged) else self.rows.row_error(judged)

    def lead(self, one: Judged, other: Judged) -> tuple[float, float]:
        """By how much the first of two is better on the folds that judged both, and the standard error of
        that: over the folds where these are all of them, else over parts of their rows.
        """
        found = gains(self.watched, one.values, other.values)
        is_whole = len(found) == self.folds
        error = standard_error(found) if is_whole else self.rows.row_error(one, other)
        return float(found.mean()), error

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
        return best_of(judged, self.lead)

    def kept_of(self, judged: Sequence[Judged]) -> Judged:
        """The one of some to keep, see :func:`engine.auto.choice.chosen`."""
        most = half_a_point(self.watched, self.best_of(judged).mean)
        return chosen(judged, self.lead, most, lambda one: len(one.values))
