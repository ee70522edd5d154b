"""Linear heads to convergence: regularised logistic regression, and ridge regression, by L-BFGS over all rows.

The loss is the task's, its mean over the rows, plus ``l2 / 2`` times the squared weights of the
standardized features (scikit-learn's C is ``1 / (l2 * rows)``); the bias is free.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...store import HeadError, SourceError
from ..heads.head import Head
from ..heads.metrics import METRICS, compute, is_better, require_metric
from ..heads.networks import Standardized
from .config import TrainConfig
from .examples import TrainData
from .fit import evaluate, finished_head, make_loss
from .lbfgs import LinearProblem
from .threads import one_thread

L2_PATH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
_USED = ("head", "class_weights", "label_smoothing", "metric", "seed")  # of TrainConfig


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
    config: TrainConfig,
    *,
    l2: Sequence[float] = L2_PATH,
    on_epoch: Callable[[PathResult], None] | None = None,
) -> Head:
    """The best linear head of a path of ``l2``, by ``config.metric`` or the task's on the validation rows.

    The path is walked from the strongest regularisation down, each step from the solution before;
    of equals the stronger one is kept. Features are standardized while solving whatever ``config``
    says, and the scaling is folded into the weights, so that the head's own scaling does nothing (but
    for token features). Of ``config`` the task's weights, smoothing, metric and head are used. Raises
    HeadError for any head but linear, SourceError for a negative ``l2``.
    """
    task, watched = data.task, config.metric or data.task.metric
    require_metric(watched, task, data.outputs)
    loss = make_loss(data, config)
    history: list[PathResult] = []
    best: tuple[float | None, float, Standardized] | None = None
    for solved in solutions(data, config, l2):
        started = time.perf_counter()
        validated = evaluate(
            solved.network, data.valid, task, loss, outputs=METRICS[watched].of_probabilities
        )
        valid = compute(list(dict.fromkeys(["loss", task.metric, watched])), validated)
        seconds = round(solved.seconds + time.perf_counter() - started, 4)
        history.append(
            PathResult(
                len(history) + 1, solved.l2, solved.iterations, {"loss": solved.train_loss}, valid, seconds
            )
        )
        if on_epoch:
            on_epoch(history[-1])
        if is_better(watched, valid[watched], best[0] if best else None):
            best = valid[watched], solved.l2, solved.network
    if best is None:
        raise SourceError(
            f"metric '{watched}' is undefined on the validation rows; pass another with --metric"
        )
    _, strength, network = best
    step = 1 + [result.l2 for result in history].index(strength)
    head = finished_head(data, config, network.eval(), loss, history, epoch=step)
    record = {
        **head.record,
        "config": {name: head.record["config"][name] for name in _USED},
        "solver": "lbfgs",
        "l2": strength,
    }
    return head.replace(record=record)


@dataclass(frozen=True)
class Solution:
    """A linear head at the minimum for one strength of regularisation."""

    l2: float
    network: Standardized
    iterations: int
    train_loss: float
    """Mean over the training rows, without the penalty."""
    seconds: float


def solutions(data: TrainData, config: TrainConfig, l2: Sequence[float]) -> Iterator[Solution]:
    """The path of :func:`solve`, from the strongest regularisation down. Raises as that does."""
    if config.head != "linear":
        raise HeadError(f"solver lbfgs is for the linear head, not '{config.head}'; leave out --solver")
    if not l2 or min(l2) < 0:
        raise SourceError(f"l2 must be numbers from 0 up, not {', '.join(map(str, l2)) or 'none'}")
    problem = LinearProblem(data, make_loss(data, config))
    weights = problem.start()
    with one_thread(problem.is_narrow):
        for strength in sorted(set(l2), reverse=True):
            started = time.perf_counter()
            weights, iterations, loss = problem.minimum(weights, strength)
            yield Solution(
                strength, problem.network(weights), iterations, loss, time.perf_counter() - started
            )
