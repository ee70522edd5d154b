"""How good predictions are, by scikit-learn and scipy, under the names that people use."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from ...store import SourceError
from .tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

MAX_CLASSES = 100
"""With more, AUC and the confusion matrix are left out: one is slow and the other large."""


@dataclass(frozen=True)
class Predicted:
    """Predictions of a set of rows, beside the truth."""

    task: Task
    classes: int
    loss: float
    targets: np.ndarray
    """int64 [rows], float32 [rows, classes] of 0 and 1, or float32 [rows], by task."""
    predictions: np.ndarray
    """In the form of the targets."""
    outputs: np.ndarray | None = None
    """Probabilities float32 [rows, classes], where a metric needs them."""


@dataclass(frozen=True)
class Metric:
    """A figure, and which tasks have it."""

    compute: Callable[[Predicted], float]
    tasks: tuple[Task, ...] = (SINGLE_LABEL, MULTI_LABEL)
    binary: bool = False
    """For two classes only; the second one is the positive one."""
    of_probabilities: bool = False
    lower_is_better: bool = False


def _averaged(function: Callable[..., Any], average: str) -> Callable[[Predicted], float]:
    return lambda p: function(p.targets, p.predictions, average=average, zero_division=0)


def _auc(p: Predicted) -> float:
    if p.outputs is None:
        return float("nan")
    if p.targets.ndim == 2:
        return float(sk.roc_auc_score(p.targets, p.outputs, average="macro"))
    if p.classes == 2:
        return float(sk.roc_auc_score(p.targets, p.outputs[:, 1]))
    return float(sk.roc_auc_score(p.targets, p.outputs, multi_class="ovr", labels=np.arange(p.classes)))


def _correlation(function: Callable[..., Any], p: Predicted) -> float:
    return function(p.targets, p.predictions).statistic


METRICS = {
    "loss": Metric(lambda p: p.loss, (SINGLE_LABEL, MULTI_LABEL, REGRESSION), lower_is_better=True),
    "accuracy": Metric(lambda p: (p.targets == p.predictions).reshape(len(p.targets), -1).all(1).mean()),
    "precision": Metric(_averaged(sk.precision_score, "macro")),
    "recall": Metric(_averaged(sk.recall_score, "macro")),
    "f1": Metric(_averaged(sk.f1_score, "macro")),
    "f1_micro": Metric(_averaged(sk.f1_score, "micro"), (MULTI_LABEL,)),
    "precision_binary": Metric(_averaged(sk.precision_score, "binary"), (SINGLE_LABEL,), binary=True),
    "recall_binary": Metric(_averaged(sk.recall_score, "binary"), (SINGLE_LABEL,), binary=True),
    "f1_binary": Metric(_averaged(sk.f1_score, "binary"), (SINGLE_LABEL,), binary=True),
    "mcc": Metric(lambda p: sk.matthews_corrcoef(p.targets, p.predictions), (SINGLE_LABEL,)),
    "auc": Metric(_auc, of_probabilities=True),
    "pearson": Metric(lambda p: _correlation(pearsonr, p), (REGRESSION,)),
    "spearman": Metric(lambda p: _correlation(spearmanr, p), (REGRESSION,)),
    "mse": Metric(
        lambda p: sk.mean_squared_error(p.targets, p.predictions), (REGRESSION,), lower_is_better=True
    ),
    "mae": Metric(
        lambda p: sk.mean_absolute_error(p.targets, p.predictions), (REGRESSION,), lower_is_better=True
    ),
}
"""Precision, recall and f1 are means over the classes (macro); accuracy for several labels wants all of a row's right."""


def metric_names(task: Task, classes: int) -> list[str]:
    """The metrics that a task with so many classes has."""
    return [
        name
        for name, metric in METRICS.items()
        if task in metric.tasks
        and (classes == 2 or not metric.binary)
        and (classes <= MAX_CLASSES or not metric.of_probabilities)
    ]


def require_metric(name: str, task: Task, classes: int) -> None:
    """Raise SourceError, listing those there are, for a metric that the task does not have."""
    names = metric_names(task, classes)
    if name not in names:
        kind = f"a {task.name} task with {classes} labels" if task.has_classes else f"a {task.name} task"
        raise SourceError(f"{kind} has no metric '{name}'; there are {', '.join(names)}")


def compute(names: list[str], predicted: Predicted) -> dict[str, float | None]:
    """Figures by name; None where one is undefined, such as the AUC of rows of one class."""
    values: dict[str, float | None] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of undefined figures, which are None here
        for name in names:
            try:
                value = float(METRICS[name].compute(predicted))
            except ValueError:
                value = float("nan")
            values[name] = value if np.isfinite(value) else None
    return values


def is_better(name: str, value: float | None, best: float | None) -> bool:
    """Whether a figure improves on the best so far, None being worse than any."""
    if value is None or best is None:
        return value is not None
    return value < best if METRICS[name].lower_is_better else value > best


def confusion_matrix(predicted: Predicted) -> list[Any] | None:
    """Rows by true class (first axis) and predicted class [classes, classes]; for several labels [classes, 2, 2], one each.

    None for a regression and for more than MAX_CLASSES classes.
    """
    if not predicted.task.has_classes or predicted.classes > MAX_CLASSES:
        return None
    if predicted.targets.ndim == 2:
        return sk.multilabel_confusion_matrix(predicted.targets, predicted.predictions).tolist()
    return sk.confusion_matrix(
        predicted.targets, predicted.predictions, labels=np.arange(predicted.classes)
    ).tolist()
