"""How good a candidate is, by folds of the rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...store import DivergedError
from ...store.progress import heard_by, listener, tell
from ..heads.head import Head
from ..heads.kinds import ENCODER
from ..heads.metrics import METRICS, compute, is_better
from ..sweep.folds import holding_out, out_of_fold
from ..train.config import TrainConfig
from ..train.examples import TrainData
from ..train.fit import fit
from ..train.judging import evaluate, make_loss
from ..train.solve import solutions, solve
from ..train.solve_config import SolveConfig
from .budget import Budget
from .candidates import Candidate
from .choice import is_hopeless

OF_ALL_ROWS = 1.6
"""Folds, in the time of which a head is trained on all rows and judged on them."""
_ALL = slice(None)
_STEPS = 10  # of a training, before they tell how long it takes
_PAST_BEST = 3  # strengths below the best of a path, after which it is left
Path = dict[float, tuple[torch.nn.Module, float]]
"""Heads by strength of regularisation, each with its metric on the fold that it did not see."""


@dataclass(frozen=True)
class Judged:
    """What was tried, and what it reached on the folds that it did not see."""

    name: str
    values: np.ndarray
    """Of the metric, float64 [folds]; of the first folds, where there was no time for all."""
    figures: dict[str, float | None]
    """All metrics of the task, means over the folds."""
    outputs: np.ndarray
    """Of each training row, float32 [rows, outputs], by a head that did not see it; nan where there is none.
    """
    seconds: float
    candidate: Candidate | None = None
    """None where no encoder has a part in it, and with words."""
    data: TrainData | None = None
    """What the candidate is tried on; None without one."""
    l2: float | None = None
    """Strength of regularisation, where one was chosen."""
    base: "Judged | None" = None
    """The candidate that words were joined with."""
    has_words: bool = False

    @property
    def mean(self) -> float:
        """Of the metric, over the folds."""
        return float(self.values.mean())

    @property
    def is_head(self) -> bool:
        """Whether it may be kept; what is none is there to be compared with."""
        return self.candidate is not None or self.base is not None

    @property
    def is_tuned(self) -> bool:
        """Whether it is a head of the encoder's own layers."""
        config = self.candidate.config if self.candidate else None
        return isinstance(config, TrainConfig) and config.head == ENCODER

    @property
    def served(self) -> TrainData:
        """The rows as the candidate takes them."""
        assert self.candidate is not None
        assert self.data is not None
        return self.data.using(self.candidate.use, self.candidate.combine)

    def and_folds(self, more: "Judged") -> "Judged":
        """The same candidate, with the folds that it was judged on since."""
        ours, theirs = len(self.values), len(more.values)
        figures = {
            name: None if one is None or other is None else (ours * one + theirs * other) / (ours + theirs)
            for (name, one), other in zip(self.figures.items(), more.figures.values(), strict=True)
        }
        return replace(
            self,
            values=np.concatenate([self.values, more.values]),
            figures=figures,
            outputs=np.where(np.isnan(self.outputs), more.outputs, self.outputs),
            seconds=self.seconds + more.seconds,
        )


@dataclass(frozen=True)
class Stopped:
    """A candidate that was left before its last fold."""

    name: str
    reason: str
    is_late: bool = False
    """Whether that was for want of time."""


class _LeftError(Exception):
    """The reason for which a candidate is left."""

    def __init__(self, reason: str, *, is_late: bool = False):
        super().__init__(reason)
        self.is_late = is_late


class _Trial:
    """A candidate on its way through the folds."""

    def __init__(self, watched: str, budget: Budget, best: Judged | None):
        self.watched, self._budget, self._best = watched, budget, best

    def require_time(self, *_: object) -> None:
        """Raise _LeftError where the time is over, unless there is no other candidate yet."""
        if self._best is not None and self._budget.left < 0:
            raise _LeftError("the time is over", is_late=True)

    def require_seconds(self, seconds: float) -> None:
        """Raise _LeftError where so many more seconds are not left."""
        if self._budget.left < seconds:
            left = max(0.0, self._budget.left) / 60
            raise _LeftError(
                f"its folds, and all rows, would take {seconds / 60:.1f} of the {left:.1f} minutes left",
                is_late=True,
            )

    def require_hope(self, values: Sequence[float]) -> None:
        """Raise _LeftError where the first folds lie behind those of the best."""
        if self._best is not None and is_hopeless(self.watched, values, self._best.values):
            raise _LeftError(f"after {len(values)} folds it is behind {self._best.name}")

    def undefined(self) -> _LeftError:
        """Where the metric is undefined on a fold."""
        return _LeftError(f"its {self.watched} is undefined on a fold")

    def solved(
        self, parts: Sequence[TrainData], config: SolveConfig
    ) -> tuple[list[torch.nn.Module], list[float], float]:
        """Linear heads by fold, their metric, and the strength that is best over all folds."""
        paths: list[Path] = []
        for part in parts:
            self.require_time()
            paths.append(self._path(part, config))
            self.require_hope(values_at(paths, best_of(paths, self.watched)))
        l2 = best_of(paths, self.watched)
        if l2 is None:
            raise self.undefined()
        return [path[l2][0] for path in paths], values_at(paths, l2), l2

    def _path(self, part: TrainData, config: SolveConfig) -> Path:
        return path_of(part, config, self.watched, self)

    def fitted(
        self, parts: Sequence[TrainData], config: TrainConfig
    ) -> tuple[list[torch.nn.Module], list[float]]:
        """Heads trained by gradient descent, by fold, and their metric."""
        networks: list[torch.nn.Module] = []
        values: list[float] = []
        for number, part in enumerate(parts):
            is_long = config.head == ENCODER
            after = len(parts) - number - 1 + OF_ALL_ROWS
            try:
                with heard_by(_Paced(self, after) if is_long else None):
                    head = fit(part, config, on_epoch=self.require_time)
            except DivergedError:
                raise _LeftError("its training diverged") from None
            value = head.metrics[self.watched]
            if value is None:
                raise self.undefined()
            networks.append(head.network)
            values.append(value)
            self.require_hope(values)
        return networks, values


class _Paced:
    """Hears of the steps of a long training, and ends it where it cannot come to its end in time."""

    def __init__(self, trial: _Trial, after: float):
        """``after`` is how many more such trainings have to follow."""
        self._trial, self._after, self._told, self._begun = trial, after, listener(), 0.0

    def __call__(self, stage: str, done: int, total: int, remark: str = "", /) -> None:
        self._told(stage, done, total, remark)
        if stage != "training":
            return
        if not done:
            self._begun = time.perf_counter()
        try:
            self._trial.require_time()
            if total > done >= max(_STEPS, total // 20):
                a_step = (time.perf_counter() - self._begun) / done
                self._trial.require_seconds(a_step * (total - done + self._after * total))
        except _LeftError:
            self._told(stage, total, total, remark)  # else it seems to go on
            raise


def judge(
    candidate: Candidate,
    data: TrainData,
    fold_of: np.ndarray,
    watched: str,
    budget: Budget,
    best: Judged | None,
    folds: slice = _ALL,
) -> Judged | Stopped:
    """Try a candidate on each fold, or on some of them.

    ``data`` was read with Folds. The first candidate, for which ``best`` is None, always comes to its end; a
    later one is left when the time is over, or when it cannot be expected to reach the best one.
    """
    started, trial, l2 = time.perf_counter(), _Trial(watched, budget, best), None
    served = data.using(candidate.use, candidate.combine)
    numbers = np.unique(fold_of)[folds].tolist()
    parts = [holding_out(served, fold_of, fold) for fold in numbers]
    try:
        if isinstance(candidate.config, SolveConfig):
            networks, values, l2 = trial.solved(parts, candidate.config)
        else:
            networks, values = trial.fitted(parts, candidate.config)
    except _LeftError as left:
        return Stopped(candidate.name, str(left), left.is_late)
    loss = make_loss(served, candidate.config)
    members = {fold: [one] for fold, one in zip(numbers, networks, strict=True)}
    outputs, figures = out_of_fold(served, loss, fold_of, members)
    seconds = time.perf_counter() - started
    return Judged(candidate.name, np.array(values), figures, outputs, seconds, candidate, data, l2)


def trained(judged: Judged) -> Head:
    """A candidate's head, trained on all rows, with its figures by folds."""
    served, candidate = judged.served, judged.candidate
    assert candidate is not None
    if isinstance(candidate.config, TrainConfig):
        head = fit(served, candidate.config)
    else:
        assert judged.l2 is not None
        head = solve(served, replace(candidate.config, l2=(judged.l2,)))
    return with_figures(head, judged.figures)


def with_figures(head: Head, figures: dict[str, float | None]) -> Head:
    """A head with figures of its folds in place of those of the rows that it was trained on."""
    kept = {name: one for name, one in head.metrics.items() if name not in ("confusion_matrix", *figures)}
    return head.replace(metrics={**figures, **kept})


def path_of(part: TrainData, config: SolveConfig, watched: str, trial: _Trial | None = None) -> Path:
    """The heads of a path of regularisation, judged on the fold that they did not see.

    The path ends some strengths past its best one: weaker ones take longest, and are worse still.
    """
    loss, found = make_loss(part, config), {}
    best, past = None, 0
    try:
        for solved in solutions(part, config):
            network = solved.network.eval()
            judged = evaluate(network, part.valid, part.task, loss, outputs=METRICS[watched].of_probabilities)
            value = compute([watched], judged)[watched]
            if value is None:
                continue
            found[solved.l2] = network, value
            past += 1
            if is_better(watched, value, best):
                best, past = value, 0
            if past >= _PAST_BEST:
                break
            if trial:
                trial.require_time()
    finally:
        strengths = len(set(config.l2))
        tell("solving", strengths, strengths)  # a path that is left seems to go on
    return found


def best_of(paths: Sequence[Path], watched: str) -> float | None:
    """The strength that is best over the folds, among those that were tried on each; of equals the
    strongest. None where there is none.
    """
    best: tuple[float, float] | None = None
    for l2 in sorted(set.intersection(*(set(path) for path in paths)), reverse=True):
        mean = float(np.mean(values_at(paths, l2)))
        if is_better(watched, mean, None if best is None else best[1]):
            best = l2, mean
    return None if best is None else best[0]


def values_at(paths: Sequence[Path], l2: float | None) -> list[float]:
    """The metric by fold for a strength; none for None."""
    return [] if l2 is None else [path[l2][1] for path in paths]
