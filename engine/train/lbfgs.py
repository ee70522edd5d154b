"""The minimum of a linear head's regularised loss over all rows, by L-BFGS.

The weights are whitened by a bound of the Hessian, Böhning's for logistic regression (Böhning 1992,
https://doi.org/10.1007/BF00048682), so that a few dozen passes over the rows are enough whatever the
features' correlations are; for squared errors the bound is exact, but for being of a sample of the rows.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch.nn.functional import softplus

from ...store.duck import available_memory
from ..heads.making import make_head
from ..heads.networks import Standardized, linear_of_few_outputs, token_mask
from .examples import TrainData
from .threads import in_shares

MAX_ITERATIONS = 200
_Block = tuple[torch.Tensor, torch.Tensor]  # features less their means, float32 [n, width], and targets
_TOLERANCE = 1e-9  # relative decrease of the loss, below what float32 products can tell apart
_BLOCK_BYTES = 8 << 20  # of float32, in the larger cache; smaller ones are more steps for the interpreter
_SAMPLE = 32  # rows for each feature, for the bound of the Hessian; all rows would cost more than they save
_NARROW = 1024  # features
_SMALL_PASS = 1 << 21  # features of all rows; a pass over fewer is over before a second thread has begun
_WHITENED_WIDTH = 8192  # of features; past it the Hessian's bound takes more memory than it is worth


class LinearProblem:
    """The loss of linear heads on one set of rows; weights are float32 [outputs, 1 + width], the bias first.

    Two classes have weights that are each other's negatives at every minimum. For them the problem has one
    output, the difference of the two.
    """

    def __init__(self, data: TrainData, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        self._data, self._loss, self._examples = data, loss, data.train
        self._mean, self._scale = (part.float() for part in data.train.scaling)
        self._tokens = len(data.shape) == 2
        self._width = int(np.prod(data.shape))
        self._scales = self._scale.expand(data.shape).flatten()
        self._block_rows = max(1, _BLOCK_BYTES // (4 * self._width))
        is_small_pass = data.train.features.rows * self._width < _SMALL_PASS
        self._threads = 1 if is_small_pass else torch.get_num_threads()
        self._two_classes = data.task.name == "single-label" and data.outputs == 2
        if self._two_classes:
            far = torch.tensor([[20.0, -20.0], [-20.0, 20.0]])  # logits that predict one class, or the other
            # Indexed by the predicted class and the true class.
            self._costs = torch.stack([loss(one.expand(2, 2), torch.arange(2)) for one in far]) / 40
        self._held: torch.Tensor | None = None
        rows = data.train.features.rows
        # Masking token features in each pass costs more than reading them as float32 does.
        if self._tokens and rows * self._width * 4 <= available_memory() / 4:
            self._held = torch.from_numpy(np.empty((rows, self._width), np.float32))
            in_shares(self._hold, rows)
        self._target_scale = (
            1.0 if data.task.has_classes else float(np.std(data.train.targets, dtype=np.float64))
        )
        self._target_mean = (
            0.0 if data.task.has_classes else float(np.mean(data.train.targets, dtype=np.float64))
        )
        self._gram = self._products() if self._width <= _WHITENED_WIDTH else None

    @property
    def is_narrow(self) -> bool:
        """Whether all but the passes over the rows is too little work for several threads."""
        return self._width <= _NARROW

    def start(self) -> torch.Tensor:
        """All zero: every class as likely."""
        return torch.zeros(1 if self._two_classes else self._data.outputs, 1 + self._width)

    def _hold(self, first: int, stop: int) -> None:
        assert self._held is not None
        for features, _ in self._read(first, stop):
            self._held[first : first + len(features)] = features
            first += len(features)

    def _blocks(self, first: int, stop: int) -> Iterator[_Block]:
        """Rows ``first`` to ``stop``, a block at a time, each until the next one is asked for."""
        if self._held is None:
            return self._read(first, stop)
        targets = torch.from_numpy(self._examples.targets)[first:stop].split(self._block_rows)
        return zip(self._held[first:stop].split(self._block_rows), targets, strict=True)

    def _read(self, first: int, stop: int) -> Iterator[_Block]:
        # Converting in each pass takes as long as reading twice the bytes from memory, and needs no memory.
        held, targets = (
            torch.empty(self._block_rows, *self._data.shape),
            torch.from_numpy(self._examples.targets),
        )
        for block in self._examples.features.blocks(self._block_rows, first, stop):
            features = held[: len(block)].copy_(torch.from_numpy(block))
            yield self._centred(features).flatten(1), targets[first : first + len(block)]
            first += len(block)

    def _centred(self, features: torch.Tensor) -> torch.Tensor:
        """Features [n, *shape] less their means, in place. The scale is applied to the weights instead."""
        mask = token_mask(features) if self._tokens else None
        features.sub_(self._mean)
        return features if mask is None else features.mul_(mask.unsqueeze(-1))

    def _shared(
        self, work: Callable[[Iterable[_Block]], tuple[torch.Tensor, ...]]
    ) -> tuple[torch.Tensor, ...]:
        """The sums of what ``work`` gives for the blocks of each thread."""
        rows = self._examples.features.rows
        parts = in_shares(lambda first, stop: work(self._blocks(first, stop)), rows, threads=self._threads)
        return tuple(reduce(torch.add, part) for part in zip(*parts, strict=True))

    def _products(self) -> torch.Tensor:
        """Mean outer product of the standardized features, float32 [width, width], over a sample of rows."""
        features = self._examples.features
        sample = np.arange(0, features.rows, max(1, features.rows // (_SAMPLE * self._width)))

        def products(first: int, stop: int) -> torch.Tensor:
            total = torch.zeros(self._width, self._width)
            for start in range(first, stop, self._block_rows):
                block = features.take(sample[start : min(start + self._block_rows, stop)])
                some = self._centred(torch.from_numpy(block).float()).flatten(1).mul_(self._scales)
                total.addmm_(some.T, some)
            return total

        # Products of wide features take much memory in each thread; torch shares one such product itself.
        threads = self._threads if self.is_narrow else 1
        return reduce(torch.add, in_shares(products, len(sample), threads=threads)) / len(sample)

    def _whitening(self, penalty: float) -> tuple[torch.Tensor, float] | None:
        """Lower Cholesky factor of a bound of the Hessian, and the root of the bound for the biases.

        None where the weights are too many.
        """
        if self._gram is None:
            return None
        # Squared errors have a second derivative of 2; a softmax has at most 1/2, a sigmoid 1/4.
        softmax = self._data.task.name == "single-label" and not self._two_classes
        curvature = 2.0 if not self._data.task.has_classes else 0.5 if softmax else 0.25
        bound = self._gram * curvature
        jitter = penalty + 1e-6 * float(bound.diagonal().mean())
        bound.diagonal().add_(jitter)
        return torch.linalg.cholesky(bound), curvature**0.5

    def _slopes(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The sum of the rows' losses, float64, and its slopes by the problem's outputs [rows, outputs]."""
        if self._two_classes:
            # With any weights and smoothing, a row's loss is a * softplus(-output) + b * softplus(output).
            of_first, of_second = self._costs[:, targets.long()].unsqueeze(2)
            both = of_first + of_second
            loss = both * softplus(outputs) - of_first * outputs
            return loss.sum(dtype=torch.float64), both * torch.sigmoid(outputs) - of_first
        outputs.requires_grad_()
        logits = outputs if self._data.task.has_classes else outputs * self._target_scale + self._target_mean
        # The line search compares sums that differ by less than float32 tells.
        loss = self._loss(logits, targets).sum(dtype=torch.float64)
        return loss.detach(), torch.autograd.grad(loss, outputs)[0]

    def _loss_and_gradient(self, weights: torch.Tensor, penalty: float) -> tuple[float, torch.Tensor]:
        """The regularised mean loss, and its gradient in the shape of the weights."""
        bias, matrix = weights[:, 0].contiguous(), weights[:, 1:] * self._scales

        def over(blocks: Iterable[_Block]) -> tuple[torch.Tensor, ...]:
            total, slopes, products = (
                torch.zeros((), dtype=torch.float64),
                torch.zeros_like(bias),
                torch.zeros_like(matrix),
            )
            for features, targets in blocks:
                loss, slope = self._slopes(_outputs(features, matrix, bias), targets)
                total += loss
                slopes += slope.sum(0)
                _add_products(products, slope, features)
            return total, slopes, products

        total, slopes, products = self._shared(over)
        rows = self._data.train.features.rows
        squares = penalty / 2 * float(weights[:, 1:].double().square().sum())
        gradient = torch.cat(
            [slopes.unsqueeze(1) / rows, products * self._scales / rows + penalty * weights[:, 1:]], 1
        )
        return float(total) / rows + squares, gradient

    def minimum(self, weights: torch.Tensor, l2: float) -> tuple[torch.Tensor, int, float]:
        """Weights at the minimum, iterations from ``weights`` to it, and mean loss without the penalty."""
        # Each of two classes has half of the difference, with half of its square in all.
        penalty = l2 / 2 if self._two_classes else l2
        whitening = self._whitening(penalty)

        def plain(whitened: np.ndarray) -> torch.Tensor:
            values = torch.from_numpy(whitened.reshape(weights.shape)).float()
            if whitening is not None:
                factor, root = whitening
                values[:, 0] /= root
                values[:, 1:] = torch.linalg.solve_triangular(factor, values[:, 1:], upper=False, left=False)
            return values

        def objective(whitened: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self._loss_and_gradient(plain(whitened), penalty)
            if whitening is not None:
                factor, root = whitening
                gradient[:, 0] /= root
                gradient[:, 1:] = torch.linalg.solve_triangular(
                    factor.T, gradient[:, 1:], upper=True, left=False
                )
            return value, gradient.double().numpy().ravel()

        start = weights.clone()
        if whitening is not None:
            factor, root = whitening
            start[:, 0] *= root
            start[:, 1:] = weights[:, 1:] @ factor
        # A smaller whitened gradient is the noise of float32: the line search would try steps in vain.
        steepest = 1e-6 if whitening is None else 1e-5
        options = {"maxiter": MAX_ITERATIONS, "maxcor": 20, "ftol": _TOLERANCE, "gtol": steepest}
        # SciPy's threads would spin between its few small sums, in the way of the passes.
        with threadpool_limits(1, user_api="blas"):
            found = minimize(
                objective, start.double().numpy().ravel(), jac=True, method="L-BFGS-B", options=options
            )
        solution = plain(found.x)
        squares = penalty / 2 * float(solution[:, 1:].double().square().sum())
        return solution, int(found.nit), float(found.fun) - squares

    def network(self, weights: torch.Tensor) -> Standardized:
        """The weights as a head, the scaling folded into them, but for token features, which are masked."""
        network = make_head(
            "linear", self._data.shape, self._data.outputs, targets=not self._data.task.has_classes
        )
        if self._two_classes:
            weights = torch.cat([-weights / 2, weights / 2])
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


def _outputs(features: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Linear outputs [rows, outputs]; numpy's library is quicker at a single one, matrix times vector."""
    if len(matrix) > 1:
        return linear_of_few_outputs(features, matrix, bias)
    return torch.from_numpy(features.numpy() @ matrix[0].numpy()).add_(bias).unsqueeze(1)


def _add_products(products: torch.Tensor, slope: torch.Tensor, features: torch.Tensor) -> None:
    """Add the products of slopes [rows, outputs] and features [rows, width], summed over the rows."""
    if len(products) > 1:
        products.addmm_(slope.T, features)  # in this order seven times as fast as its transpose
    else:
        products += torch.from_numpy(slope.flatten().numpy() @ features.numpy())
