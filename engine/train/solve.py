"""Linear heads to convergence: regularised logistic and ridge regression, by L-BFGS over all rows.

The loss is the task's, its mean over the rows, plus ``l2 / 2`` times the squared weights of the
standardized features; the bias is free. scikit-learn's C is ``1 / (l2 * rows)``, and of two classes, which
have one vector of weights there and two here, ``2 / (l2 * rows)``; a ridge's alpha is ``l2 * rows / 2``.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from ...store.progress import tell
from ..heads.head import Head
from ..heads.metrics import METRICS, compute, require_metric
from ..heads.networks import Standardized
from .best import BestEpoch, undefined_metric
from .examples import TrainData
from .judging import evaluate, finished_head, make_loss
from .lbfgs import LinearProblem
from .solve_config import SolveConfig
from .threads import one_thread


@dataclass(frozen=True)
class PathResult:
    """One strength of regularisation: iterations to convergence, and figures of both sets."""

    step: int
    l2: float
    iterations: int
    train: dict[str, float | None]
    valid: dict[str, float | None]
    seconds: float

    @property
    def row(self) -> dict[str, float | None]:
        """The figures as columns: step, l2, iterations, train_loss, …, valid_loss, …, seconds."""
        figures = {
            f"{name}_{key}": value
            for name in ("train", "valid")
            for key, value in getattr(self, name).items()
        }
        return {
            "step": self.step,
            "l2": self.l2,
            "iterations": self.iterations,
            **figures,
            "seconds": self.seconds,
        }


def solve(
    data: TrainData,
    config: SolveConfig,
    *,
    on_epoch: Callable[[PathResult], None] | None = None,
) -> Head:
    """The best linear head of the path ``config.l2``, by ``config.metric`` or else by the task's metric.

    The metric is computed on the validation rows; of equal heads the one of stronger regularisation is kept.
    The path is walked from the strongest regularisation down, each step from the solution before. Features
    are standardized while solving. The scaling is folded into the weights, so that the head's own scaling
    does nothing (but for token features).
    """
    task, watched = data.task, config.metric or data.task.metric
    require_metric(watched, task, data.outputs)
    loss = make_loss(data, config)
    history: list[PathResult] = []
    best, kept = BestEpoch(watched), None
    for step, solved in enumerate(solutions(data, config), 1):
        started = time.perf_counter()
        validated = evaluate(
            solved.network, data.valid, task, loss, outputs=METRICS[watched].of_probabilities
        )
        valid = compute(list(dict.fromkeys(["loss", task.metric, watched])), validated)
        seconds = round(solved.seconds + time.perf_counter() - started, 4)
        history.append(
            PathResult(step, solved.l2, solved.iterations, {"loss": solved.train_loss}, valid, seconds)
        )
        if on_epoch:
            on_epoch(history[-1])
        if best.improves(step, valid[watched]):
            kept = solved
    if kept is None:
        raise undefined_metric(watched)
    head = finished_head(data, config, kept.network.eval(), loss, history, epoch=best.epoch)
    return head.replace(record={**head.record, "solver": "lbfgs", "l2": kept.l2})


@dataclass(frozen=True)
class Solution:
    """A linear head at the minimum for one strength of regularisation."""

    l2: float
    network: Standardized
    iterations: int
    train_loss: float
    """Mean over the training rows, without the penalty."""
    seconds: float


def solutions(data: TrainData, config: SolveConfig) -> Generator[Solution, None, None]:
    """The path of :func:`solve`, from the strongest regularisation down."""
    problem = LinearProblem(data, make_loss(data, config))
    weights = problem.start()
    with one_thread(problem.is_narrow):
        strengths = sorted(set(config.l2), reverse=True)
        tell("solving", 0, len(strengths))
        for number, strength in enumerate(strengths, 1):
            started = time.perf_counter()
            weights, iterations, loss = problem.minimum(weights, strength)
            tell("solving", number, len(strengths))
            yield Solution(
                strength, problem.network(weights), iterations, loss, time.perf_counter() - started
            )
