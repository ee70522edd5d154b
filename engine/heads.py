"""The networks that are trained on features."""

import math
from collections.abc import Callable

import torch
from torch import nn


class Linear(nn.Module):
    """Logits as a linear function of all features: [rows, *shape] -> [rows, outputs].

    Token features [rows, max_length, hidden] are flattened, each position with weights of its own.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int):
        super().__init__()
        self.fc1 = nn.Linear(math.prod(shape), outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        return self.fc1(features.flatten(1))


HEADS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {"linear": Linear}
"""Head kinds by name, each constructed with the features' shape and the number of outputs."""


class Standardized(nn.Module):
    """A head behind fixed scaling of its inputs, ``(x - mean) * scale``, each of the features' shape.

    BERT's dimensions differ in spread by orders of magnitude, and some sentence encoders share a
    large common vector; gradient descent converges far sooner without either.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, head: nn.Module, mean: torch.Tensor, scale: torch.Tensor):
        super().__init__()
        self.head = head
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The head's logits for scaled features."""
        return self.head((features - self.mean) * self.scale)


def make_head(kind: str, shape: tuple[int, ...], outputs: int) -> Standardized:
    """A head with fresh weights, from torch's current random state, whose scaling does nothing yet."""
    return Standardized(HEADS[kind](shape, outputs), torch.zeros(shape), torch.ones(shape))
