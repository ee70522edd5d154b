"""What becomes of a pooled vector before it is stored, as text: the steps that follow a model's pooling.

There are two kinds of step. ``normalize`` scales a vector to length 1. ``dense:WIDTH:ACTIVATION:DIGEST``
is a linear layer with ``WIDTH`` outputs and an activation; ``DIGEST`` is the SHA-256 of the file with the
layer's weights. A step is text so that it stands in a setting's JSON, and so in its digest, as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import SpecError

NORMALIZE = "normalize"
ACTIVATIONS = (
    "identity", "tanh", "relu", "relu6", "leakyrelu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "sigmoid", "logsigmoid", "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "tanhshrink",
)  # fmt: skip
"""Activations by the names of torch's modules, in lower case, each with the module's defaults."""


@dataclass(frozen=True)
class DenseStep:
    """A linear layer and its activation."""

    width: int
    """Features that come out."""
    activation: str
    """One of ACTIVATIONS."""
    weights: str
    """SHA-256 of the file with the layer's weights, in hexadecimal."""

    def __str__(self) -> str:
        return f"dense:{self.width}:{self.activation}:{self.weights}"


def dense_step(step: str) -> DenseStep | None:
    """The linear layer that a step stands for; None for ``normalize``.

    Raises SpecError for a step that this release does not know.
    """
    if step == NORMALIZE:
        return None
    written = re.fullmatch(r"dense:([1-9][0-9]{0,8}):([a-z0-9]+):([0-9a-f]{64})", step)
    if not written or written[2] not in ACTIVATIONS:
        raise SpecError(
            f"unknown step '{step}' after pooling; there are normalize and dense:WIDTH:ACTIVATION:DIGEST"
        )
    return DenseStep(int(written[1]), written[2], written[3])


def width_after(steps: Sequence[str], width: int) -> int:
    """Width of a vector of ``width`` features after the steps. Raises SpecError for an unknown step."""
    for step in steps:
        dense = dense_step(step)
        if dense is not None:
            width = dense.width
    return width
