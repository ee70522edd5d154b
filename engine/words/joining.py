"""How a head's logits and those of its words become one, by stacking (Wolpert 1992; Breiman 1996)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_MAX_ITERATIONS = 200


@dataclass(frozen=True)
class Joining:
    """A weighted sum of two logits, and a bias for each output."""

    head_weight: float
    words_weight: float
    bias: np.ndarray
    """float32 [outputs]"""

    def joined(self, head: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Logits float32 [rows, outputs] of both."""
        weights = np.float32(self.head_weight), np.float32(self.words_weight)
        return weights[0] * head + weights[1] * words + self.bias


def fit_joining(
    head: np.ndarray,
    words: np.ndarray,
    targets: np.ndarray,
    loss: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]",
) -> Joining:
    """The joining of least loss, of logits float32 [rows, outputs] for rows that neither model saw.

    The weights are never negative. They, and for classes the biases, are pulled towards 0 as if by one
    row, so that few rows, or rows that are all told apart, do not drive them beyond all bounds. ``loss``
    is that of each row, of logits and targets.
    """
    import torch
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    rows, outputs = head.shape
    # A regression's outputs are in the units of its targets; a shift of these must not cost anything.
    centre = head.mean() if targets.ndim == 1 and outputs == 1 else 0.0
    sides = [torch.from_numpy((one - centre).astype(np.float64)) for one in (head, words)]
    truth = torch.from_numpy(targets)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.from_numpy(flat).requires_grad_()
        logits = values[0] * sides[0] + values[1] * sides[1] + values[2:] + centre
        total = (loss(logits, truth).sum() + values.square().sum() / 2) / rows
        gradient = torch.autograd.grad(total, values)[0]
        return float(total.detach()), gradient.numpy()

    start = np.array([0.5, 0.5, *[0.0] * outputs])
    bounds = [(0, None), (0, None), *[(None, None)] * outputs]
    options = {"maxiter": _MAX_ITERATIONS, "ftol": 1e-10, "gtol": 1e-8}
    with threadpool_limits(1, user_api="blas"):
        found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    shift = centre * (1 - found[0] - found[1])
    return Joining(float(found[0]), float(found[1]), (found[2:] + shift).astype(np.float32))
