"""What a head can be trained to do, as a table: what its outputs mean, and what is predicted from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...store import SourceError
from ...store.nearest import unknown

if TYPE_CHECKING:
    from .losses import TorchTask


@dataclass(frozen=True, repr=False)
class Task:
    """A kind of task."""

    name: str
    metric: str
    """The metric that is reported for each epoch."""
    has_classes: bool
    """Whether the outputs belong to labels, one each; else there is one output."""
    activation: Callable[[np.ndarray], np.ndarray]
    """Logits to probabilities, or to the regression's values, float32 [rows, outputs] both."""
    logits: Callable[[np.ndarray], np.ndarray]
    """The activation's inverse, up to what it ignores; what is as good as 0 or 1 becomes a finite number."""
    decide: Callable[[np.ndarray], np.ndarray]
    """Probabilities (or values) to predictions, in the form of the targets."""

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # There is one object of each task; a copy in another process is that process's own.
        return task_of, (self.name,)

    @property
    def torch(self) -> "TorchTask":
        """The loss, and the functions above, for tensors. Predicting needs none of them, nor torch."""
        from .losses import TORCH_TASKS

        return TORCH_TASKS[self.name]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # The exponential of -|x| cannot overflow.
    small = np.exp(-np.abs(logits))
    return np.where(logits < 0, small, np.float32(1)) / (1 + small)


def _log(shares: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(shares, np.float32(1e-30)))


def _logit(shares: np.ndarray) -> np.ndarray:
    inner = np.clip(shares, np.float32(1e-7), np.float32(1 - 1e-7))
    return np.log(inner) - np.log1p(-inner)


SINGLE_LABEL = Task(
    "single-label",
    metric="accuracy",
    has_classes=True,
    activation=_softmax,
    logits=_log,
    decide=lambda outputs: outputs.argmax(-1),
)
MULTI_LABEL = Task(
    "multi-label",
    metric="f1",
    has_classes=True,
    activation=_sigmoid,
    logits=_logit,
    decide=lambda outputs: (outputs > 0.5).astype(np.float32),
)
REGRESSION = Task(
    "regression",
    metric="pearson",
    has_classes=False,
    activation=lambda logits: logits,
    logits=lambda outputs: outputs,
    decide=lambda outputs: outputs.squeeze(-1),
)
TASKS = {task.name: task for task in (SINGLE_LABEL, MULTI_LABEL, REGRESSION)}


def task_of(name: str) -> Task:
    """The task of a name. Raises SourceError that lists those there are."""
    if name not in TASKS:
        raise SourceError(unknown("task", name, TASKS))
    return TASKS[name]
