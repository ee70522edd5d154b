"""Linear heads to convergence: regularised logistic regression, and ridge regression, by L-BFGS over all rows.

The loss is the task's, its mean over the rows, plus ``l2 / 2`` times the squared weights of the
standardized features (scikit-learn's C is ``1 / (l2 * rows)``); the bias is free. L-BFGS works on
weights that are whitened by a bound of the Hessian, Böhning's for logistic regression (Böhning 1992,
https://doi.org/10.1007/BF00048682), so that a few dozen passes over the rows are enough whatever the
features' correlations are; for squared errors the bound is exact, but for being of a sample of the rows.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ..store import HeadError, SourceError
from ..store.duck import available_memory
from .config import TrainConfig
from .data import TrainData
from .heads import Standardized, few_outputs, make_head, token_mask
from .metrics import METRICS, compute, is_better, require_metric
from .model import Head
from .threads import one_thread
from .train import evaluate, finished_head, make_loss

L2_PATH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
MAX_ITERATIONS = 200
_Block = tuple[torch.Tensor, torch.Tensor]  # standardized features float32 [n, width], and targets
_USED = ("head", "class_weights", "label_smoothing", "metric", "seed")  # of TrainConfig
_TOLERANCE = 1e-9  # relative decrease of the loss, below what float32 products can tell apart
_BLOCK_BYTES = 8 << 20  # of float32; the two products of a step find them in the cache, and threads seldom wait for the interpreter
_SAMPLE = 32  # rows for each feature, of which the bound of the Hessian is taken; all rows would cost more than they save
_NARROW = 1024  # features
_WHITENED_WIDTH = 8192  # of features; past it the Hessian's bound takes more memory than it is worth


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
        figures = {f"{name}_{key}": value for name in ("train", "valid") for key, value in getattr(self, name).items()}
        return {"step": self.step, "l2": self.l2, "iterations": self.iterations, **figures, "seconds": self.seconds}


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
        validated = evaluate(solved.network, data.valid, task, loss, outputs=METRICS[watched].of_probabilities)
        valid = compute(list(dict.fromkeys(["loss", task.metric, watched])), validated)
        seconds = round(solved.seconds + time.perf_counter() - started, 4)
        history.append(PathResult(len(history) + 1, solved.l2, solved.iterations, {"loss": solved.train_loss}, valid, seconds))
        if on_epoch:
            on_epoch(history[-1])
        if is_better(watched, valid[watched], best[0] if best else None):
            best = valid[watched], solved.l2, solved.network
    if best is None:
        raise SourceError(f"metric '{watched}' is undefined on the validation rows; pass another with --metric")
    _, strength, network = best
    step = 1 + [result.l2 for result in history].index(strength)
    head = finished_head(data, config, network.eval(), loss, history, epoch=step)
    record = {**head.record, "config": {name: head.record["config"][name] for name in _USED}, "solver": "lbfgs", "l2": strength}
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
    problem = _Problem(data, make_loss(data, config))
    weights = problem.start()
    with one_thread(problem.is_narrow):
        for strength in sorted(set(l2), reverse=True):
            started = time.perf_counter()
            weights, iterations, loss = problem.minimum(weights, strength)
            yield Solution(strength, problem.network(weights), iterations, loss, time.perf_counter() - started)


class _Problem:
    """The loss of linear heads on one set of rows; weights are float32 [outputs, 1 + width], the bias first."""

    def __init__(self, data: TrainData, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        self._data, self._loss, self._examples = data, loss, data.train
        self._mean, self._scale = (part.float() for part in data.train.scaling)
        self._tokens = len(data.spec.shape) == 2
        self._width = int(np.prod(data.spec.shape))
        self._block_rows = max(1, _BLOCK_BYTES // (4 * self._width))
        self._threads = torch.get_num_threads()
        rows = data.train.features.rows
        self._held = self._hold() if rows * self._width * 4 <= available_memory() / 4 else None
        self._target_scale = 1.0 if data.task.has_classes else float(np.std(data.train.targets, dtype=np.float64))
        self._target_mean = 0.0 if data.task.has_classes else float(np.mean(data.train.targets, dtype=np.float64))
        self._gram = self._products() if self._width <= _WHITENED_WIDTH else None

    @property
    def is_narrow(self) -> bool:
        """Whether all but the passes over the rows is too little work for several threads."""
        return self._width <= _NARROW

    def start(self) -> torch.Tensor:
        """All zero: every class as likely."""
        return torch.zeros(self._data.outputs, 1 + self._width)

    @one_thread()
    def _hold(self) -> list[_Block]:
        """All blocks in one array: numpy asks for large pages, and a tenth of the time is spent on getting them."""
        held, start = torch.from_numpy(np.empty((self._examples.features.rows, *self._data.spec.shape), np.float32)), 0
        for block in self._examples.features.blocks(max(1, self._block_rows // 4)):
            self._standardize(block, held[start : start + len(block)])
            start += len(block)
        targets = torch.from_numpy(self._examples.targets)
        return list(zip(held.flatten(1).split(self._block_rows), targets.split(self._block_rows), strict=True))

    def _read(self) -> Iterator[_Block]:
        """The blocks one after the other, each until the next one is asked for."""
        held, start = torch.empty(self._block_rows, *self._data.spec.shape), 0
        targets = torch.from_numpy(self._examples.targets)
        for block in self._examples.features.blocks(self._block_rows):
            features = self._standardize(block, held[: len(block)])
            yield features.flatten(1), targets[start : start + len(block)]
            start += len(block)

    def _standardize(self, block: np.ndarray, out: torch.Tensor) -> torch.Tensor:
        """Standardized features of stored ones, both [n, *shape], in ``out``."""
        out.copy_(torch.from_numpy(block))
        mask = token_mask(out) if self._tokens else None
        out.sub_(self._mean).mul_(self._scale)
        return out if mask is None else out.mul_(mask.unsqueeze(-1))

    def _shared(self, work: Callable[[Iterable[_Block]], tuple[torch.Tensor, ...]], threads: int) -> tuple[torch.Tensor, ...]:
        """The sums of what ``work`` gives for the blocks of each thread, always the same ones; read anew, they are one's.

        Threads that meet once a pass wait less for each other than those that share every product.
        """
        shares = [self._read()] if self._held is None else [self._held[n::threads] for n in range(threads)]
        with one_thread(len(shares) > 1), ThreadPoolExecutor(len(shares), thread_name_prefix="enc-solve") as pool:
            parts = list(pool.map(work, shares))
        return tuple(reduce(torch.add, part) for part in zip(*parts, strict=True))

    def _products(self) -> torch.Tensor:
        """Mean of the outer products of the standardized features, float32 [width, width], over a sample of the rows."""
        every = max(1, self._data.train.features.rows // (_SAMPLE * self._width))

        def products(blocks: Iterable[_Block]) -> tuple[torch.Tensor, ...]:
            total, rows = torch.zeros(self._width, self._width), torch.zeros(())
            for features, _ in blocks:
                some = features[::every]
                total.addmm_(some.T, some)
                rows += len(some)
            return total, rows

        # Of wide features, each thread's products would take much memory; they are large enough to be shared themselves.
        total, rows = self._shared(products, self._threads if self.is_narrow else 1)
        return total / rows

    def _whitening(self, l2: float) -> torch.Tensor | None:
        """Lower Cholesky factor of a bound of the Hessian of all weights but the biases, None for too wide features."""
        if self._gram is None:
            return None
        # Squared errors have a second derivative of 2; a softmax has at most 1/2, a sigmoid 1/4.
        curvature = 2.0 if not self._data.task.has_classes else 0.5 if self._data.task.name == "single-label" else 0.25
        bound = self._gram * curvature
        jitter = l2 + 1e-6 * float(bound.diagonal().mean())
        bound.diagonal().add_(jitter)
        return torch.linalg.cholesky(bound)

    def _loss_and_gradient(self, weights: torch.Tensor, l2: float) -> tuple[float, torch.Tensor]:
        """The regularised mean loss, and its gradient in the shape of the weights."""
        bias, matrix = weights[:, 0].contiguous(), weights[:, 1:].contiguous()

        def over(blocks: Iterable[_Block]) -> tuple[torch.Tensor, ...]:
            total, slopes, products = torch.zeros((), dtype=torch.float64), torch.zeros_like(bias), torch.zeros_like(matrix)
            for features, targets in blocks:
                logits = few_outputs(features, matrix, bias).requires_grad_()
                outputs = logits if self._data.task.has_classes else logits * self._target_scale + self._target_mean
                # The line search compares sums that differ by less than float32 tells.
                loss = self._loss(outputs, targets).sum(dtype=torch.float64)
                (slope,) = torch.autograd.grad(loss, logits)
                total += loss.detach()
                slopes += slope.sum(0)
                products.addmm_(slope.T, features)  # in this order seven times as fast as its transpose
            return total, slopes, products

        total, slopes, products = self._shared(over, self._threads)
        rows = self._data.train.features.rows
        penalty = l2 / 2 * float(matrix.double().square().sum())
        gradient = torch.cat([slopes.unsqueeze(1) / rows, products / rows + l2 * matrix], 1)
        return float(total) / rows + penalty, gradient

    def minimum(self, weights: torch.Tensor, l2: float) -> tuple[torch.Tensor, int, float]:
        """Weights at the minimum, the iterations it took from ``weights``, and the mean loss without the penalty."""
        factor = self._whitening(l2)

        def plain(whitened: np.ndarray) -> torch.Tensor:
            values = torch.from_numpy(whitened.reshape(weights.shape)).float()
            if factor is not None:
                values[:, 1:] = torch.linalg.solve_triangular(factor, values[:, 1:], upper=False, left=False)
            return values

        def objective(whitened: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self._loss_and_gradient(plain(whitened), l2)
            if factor is not None:
                gradient[:, 1:] = torch.linalg.solve_triangular(factor.T, gradient[:, 1:], upper=True, left=False)
            return value, gradient.double().numpy().ravel()

        start = weights.clone()
        if factor is not None:
            start[:, 1:] = weights[:, 1:] @ factor
        # Below it, a whitened gradient is the noise of float32 products: the line search would try many steps in vain.
        steepest = 1e-6 if factor is None else 1e-5
        options = {"maxiter": MAX_ITERATIONS, "maxcor": 20, "ftol": _TOLERANCE, "gtol": steepest}
        with threadpool_limits(1, user_api="blas"):  # scipy's threads would spin between its few small sums, in the passes' way
            found = minimize(objective, start.double().numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
        solution = plain(found.x)
        penalty = l2 / 2 * float(solution[:, 1:].double().square().sum())
        return solution, int(found.nit), float(found.fun) - penalty

    def network(self, weights: torch.Tensor) -> Standardized:
        """The weights as a head, the scaling folded into them; token features keep theirs, for the sake of the mask."""
        network = make_head("linear", self._data.spec.shape, self._data.outputs, targets=not self._data.task.has_classes)
        bias, matrix = weights[:, 0], weights[:, 1:]
        if self._tokens:
            network.mean.copy_(self._mean)
            network.scale.copy_(self._scale)
        else:
            matrix = matrix * self._scale
            bias = bias - matrix @ self._mean
        network.head.load_state_dict({"fc1.weight": matrix, "fc1.bias": bias})
        if network.targets:
            network.target_mean.fill_(self._target_mean)
            network.target_scale.fill_(self._target_scale)
        return network
