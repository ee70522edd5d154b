"""Losses of the tasks, and what predictions are made of, for tensors.

Losses have the outputs on the second axis, as torch's own do: of logits [rows, outputs], or of many
heads at once, whose rows are better last: [heads, outputs, rows] and targets [heads, rows], or
[heads, outputs, rows] of several labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from ...store import LabelError
from .labels import Labels, class_counts, listing
from .tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task


@dataclass(frozen=True)
class TorchTask:
    """What training does with tensors of a task; see :class:`engine.heads.tasks.Task`."""

    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, float], torch.Tensor]
    """Loss of each row [rows], of logits [rows, outputs], targets, weights (see :func:`loss_weights`) and
    label smoothing.

    With a third axis of the logits, see above, [heads, rows].
    """
    activation: Callable[[torch.Tensor], torch.Tensor]
    """Logits to probabilities, or to the regression's values, [rows, outputs] both."""
    logits: Callable[[torch.Tensor], torch.Tensor]
    """The activation's inverse, up to what it ignores."""
    decide: Callable[[torch.Tensor], torch.Tensor]
    """Probabilities (or values) to predictions, in the form of the targets."""
    decide_logits: Callable[[torch.Tensor], torch.Tensor]
    """Logits to the same predictions, for less than their activation takes."""


def _single_label_loss(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    return cross_entropy(logits, target.long(), weights, reduction="none", label_smoothing=smoothing)


def _multi_label_loss(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    smoothed = target * (1 - smoothing) + smoothing / 2
    by_label = None if weights is None else weights.view(-1, *[1] * (logits.dim() - 2))
    return binary_cross_entropy_with_logits(logits, smoothed, reduction="none", pos_weight=by_label).mean(1)


def _regression_loss(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None, _: float
) -> torch.Tensor:
    squares = mse_loss(logits.squeeze(1), target, reduction="none")
    return squares if weights is None else squares * weights


TORCH_TASKS = {
    SINGLE_LABEL.name: TorchTask(
        loss=_single_label_loss,
        activation=lambda logits: torch.softmax(logits, -1),
        logits=lambda outputs: outputs.clamp(min=1e-30).log(),
        decide=lambda outputs: outputs.argmax(-1),
        decide_logits=lambda logits: logits.argmax(-1),
    ),
    MULTI_LABEL.name: TorchTask(
        loss=_multi_label_loss,
        activation=torch.sigmoid,
        logits=lambda outputs: torch.logit(outputs, eps=1e-7),
        decide=lambda outputs: (outputs > 0.5).float(),
        decide_logits=lambda logits: (logits > 0).float(),
    ),
    REGRESSION.name: TorchTask(
        loss=_regression_loss,
        activation=lambda logits: logits,
        logits=lambda outputs: outputs,
        decide=lambda outputs: outputs.squeeze(-1),
        decide_logits=lambda logits: logits.squeeze(-1),
    ),
}


def loss_weights(
    task: Task, labels: Labels, targets: np.ndarray, class_weights: str | Mapping[Any, float] | None
) -> torch.Tensor | None:
    """What the task's loss takes as weights, float32, or None for none.

    ``class_weights`` is ``balanced``, or weights by label, 1 for the labels not named. For single
    labels they are scaled so that a training row weighs 1 on average; for several labels they
    weigh a label's positive rows, ``balanced`` as much as its negative ones. A regression has none;
    its squares are divided by the variance of the targets, so that always guessing their mean has
    a loss of 1. Raises LabelError for a label that is not there.
    """
    if not task.has_classes:
        if class_weights:
            raise LabelError("class weights are for tasks with classes; leave out --class-weights")
        return torch.tensor(1 / max(float(np.var(targets, dtype=np.float64)), 1e-12), dtype=torch.float32)
    if not class_weights:
        return None
    one_per_row = targets.ndim == 1
    counts = class_counts(targets, len(labels)) if one_per_row else targets.sum(0, dtype=np.float64)
    if class_weights == "balanced":
        weights = 1 / counts if one_per_row else (len(targets) - counts) / counts
    elif isinstance(class_weights, str):
        raise LabelError(
            f"cannot read class weights '{class_weights}'; write balanced, or label=weight,label=weight"
        )
    else:
        weights = np.ones(len(labels))
        for label, weight in class_weights.items():
            number = labels.number(str(label))
            if number is None:
                raise LabelError(
                    f"a class weight is given for label '{label}'; the labels are: {listing(labels.values)}"
                )
            weights[number] = weight
    if one_per_row:
        weights = weights * len(targets) / (counts * weights).sum()
    return torch.from_numpy(weights).float()
