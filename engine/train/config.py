"""How a head is trained."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...store import SourceError
from ..heads.kinds import HEADS
from ..heads.metrics import METRICS

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class TrainConfig:
    """How a head is trained."""

    head: str = "linear"
    """One of :data:`engine.heads.kinds.HEADS`, or ``module:Class`` (see :mod:`engine.heads.custom`)."""
    head_args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the head's class, after the shape and the number of outputs."""
    optimizer: str = "adamw"
    """One of OPTIMIZERS."""
    epochs: int = 10
    """Passes over the training rows, at the most."""
    batch_size: int = 64
    """Rows a step."""
    learning_rate: float = 1e-3
    """Step size, at its highest."""
    schedule: str = "constant"
    """One of SCHEDULES: what becomes of the learning rate after the warmup; linear and cosine end at 0."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: float = 1e-2
    """Pull of the weights towards zero."""
    momentum: float = 0.9
    """Of SGD."""
    standardize: bool = True
    """Scale every feature to mean 0 and variance 1 over the training rows; the scaling is saved with the head."""
    class_weights: str | Mapping[Any, float] | None = None
    """``balanced``, or weights by label; see :func:`engine.heads.tasks.loss_weights`."""
    label_smoothing: float = 0.0
    """Share of a target's weight that is spread over all classes."""
    metric: str | None = None
    """One of :data:`engine.heads.metrics.METRICS`: the epoch that is best by it is kept, in place of the last."""
    early_stopping: int | None = None
    """End after so many epochs without a better one; by the task's own metric where none is named."""
    seed: int = 42
    """Of initial weights, dropout, order, and of the rows held out."""

    def __post_init__(self) -> None:
        if self.head not in HEADS and ":" not in self.head:
            raise SourceError(
                f"unknown head '{self.head}'; there are {', '.join(HEADS)}, or module:Class for your own"
            )
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("metric", METRICS)):
            value = getattr(self, name)
            if value not in known and not (name == "metric" and value is None):
                raise SourceError(f"unknown {name} '{value}'; there are {', '.join(known)}")
        for name in ("epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise SourceError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("label_smoothing", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise SourceError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        try:
            json.dumps(dict(self.head_args))
        except TypeError as error:
            raise SourceError(
                f"head_args are saved with the head and must be plain values: {error}"
            ) from error
        if isinstance(self.class_weights, Mapping):
            for label, weight in self.class_weights.items():
                if not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                    raise SourceError(f"class weight of '{label}' must be a number above 0, not {weight!r}")
        if self.early_stopping is not None and self.early_stopping < 1:
            raise SourceError(f"early_stopping must be at least 1 epoch, not {self.early_stopping}")


RECIPES: dict[str, dict[str, Any]] = {
    # How a well-known tutorial trains on the features of the recipe of the same name.
    "flat32": {
        "head": "linear",
        "optimizer": "sgd",
        "learning_rate": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "batch_size": 16,
        "epochs": 4,
        "standardize": False,
    },
}
"""Training defaults that have a name."""


def learning_rate_factor(step: int, steps: int, schedule: str, warmup: float) -> float:
    """What the learning rate is multiplied by at a step, from 0, of ``steps`` in all.

    It rises for the share ``warmup`` of the steps, then stays (constant), falls evenly (linear), or
    along half a cosine, to 0 after the last step.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1, steps - rising)
    return {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]
