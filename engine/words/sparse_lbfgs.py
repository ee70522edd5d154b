"""The minimum of a linear model's regularised loss over sparse features, by L-BFGS."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-6  # relative decrease of the loss


@dataclass(frozen=True)
class Goal:
    """What a linear model is fitted to."""

    targets: np.ndarray
    outputs: int
    loss: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]"
    """Loss of each row [rows], of logits float64 [rows, outputs] and targets."""
    is_two_classes: bool
    """Whether the outputs are two classes, whose weights are each other's negatives at every minimum."""
    mean: float = 0.0
    """Of the targets of a regression."""
    scale: float = 1.0
    """Standard deviation of the targets of a regression."""

    @property
    def free(self) -> int:
        """Outputs that have weights of their own."""
        return 1 if self.is_two_classes else self.outputs

    def subset(self, rows: np.ndarray) -> "Goal":
        """The goal for some of the rows (int64 positions)."""
        targets = self.targets[rows]
        return Goal(targets, self.outputs, self.loss, self.is_two_classes, self.mean, self.scale)

    def logits(self, products: np.ndarray) -> np.ndarray:
        """Logits [rows, outputs] of the products [rows, free] of features and weights."""
        if self.is_two_classes:
            return products * np.array([-0.5, 0.5])
        return products * self.scale + self.mean

    def plain(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights float32 [outputs, width] and biases float32 [outputs] that give the logits themselves."""
        of_all = self.logits(weights) - self.logits(np.zeros_like(weights))
        bias = self.logits(weights[:1])[0]
        return np.ascontiguousarray(of_all[1:].T, np.float32), bias.astype(np.float32)


def minimum(matrix: "csr_matrix", goal: Goal, l2: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Weights float64 [1 + width, free], the bias first, at the minimum; the search begins at ``weights``.

    The loss is the mean over the rows, plus ``l2 / 2`` times the squared weights; the bias is free.
    """
    import torch
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    rows, width = matrix.shape  # type: ignore[misc]
    shape = (1 + width, goal.free)
    targets, transposed = torch.from_numpy(goal.targets), matrix.T

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        current = flat.reshape(shape)
        logits = torch.from_numpy(goal.logits(matrix @ current[1:] + current[0])).requires_grad_()
        loss = goal.loss(logits, targets).sum() / rows
        slopes = torch.autograd.grad(loss, logits)[0].numpy()
        slopes = (slopes[:, 1:] - slopes[:, :1]) / 2 if goal.is_two_classes else slopes * goal.scale
        gradient = np.empty(shape)
        gradient[0] = slopes.sum(0)
        gradient[1:] = transposed @ slopes + l2 * current[1:]
        return float(loss.detach()) + l2 / 2 * float(np.square(current[1:]).sum()), gradient.ravel()

    start = np.zeros(shape) if weights is None else weights
    options = {"maxiter": _MAX_ITERATIONS, "maxcor": 5, "ftol": _TOLERANCE, "gtol": 1e-7}
    # SciPy's threads would spin between its small sums.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)


def outputs_of(matrix: "csr_matrix", weights: np.ndarray, goal: Goal) -> np.ndarray:
    """Logits float32 [rows, outputs] of weights as :func:`minimum` gives them."""
    return goal.logits(matrix @ weights[1:] + weights[0]).astype(np.float32)
