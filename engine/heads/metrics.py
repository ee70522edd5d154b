"""How good predictions are, under the names that people use.

Figures of classes are numpy's, from counts by class; they equal scikit-learn's, which takes as long to load
as half of torch. SciPy is loaded where a correlation is asked for.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...store import SourceError
from .labels import class_counts

if TYPE_CHECKING:
    from .tasks import Task

MAX_CLASSES = 100
"""With more, AUC and the confusion matrix are left out: one is slow and the other large."""
_CLASSES = ("single-label", "multi-label")
_REGRESSION = ("regression",)


@dataclass(frozen=True)
class Predicted:
    """Predictions of a set of rows, beside the truth."""

    task: "Task"
    classes: int
    loss: float
    targets: np.ndarray
    """Integers [rows], float32 [rows, classes] of 0 and 1, or float32 [rows], by task."""
    predictions: np.ndarray
    """In the form of the targets."""
    outputs: np.ndarray | None = None
    """Probabilities float32 [rows, classes], where a metric needs them."""


@dataclass(frozen=True)
class Metric:
    """A figure, and which tasks have it."""

    compute: Callable[[Predicted], float]
    tasks: tuple[str, ...] = _CLASSES
    """Names of tasks; tasks themselves are torch's functions."""
    binary: bool = False
    """For two classes only; the second one is the positive one."""
    of_probabilities: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True)
class _Counts:
    """Rows by class, float64 [classes] each; a row with several labels counts for each of them."""

    right: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, p: Predicted) -> "_Counts":
        if p.targets.ndim == 2:
            sums = ((p.targets * p.predictions).sum(0), p.targets.sum(0), p.predictions.sum(0))
        else:
            found = (p.targets[p.targets == p.predictions], p.targets, p.predictions)
            sums = (class_counts(numbers, p.classes) for numbers in found)
        return cls(*(np.asarray(one, np.float64) for one in sums))

    def precision(self) -> np.ndarray:
        return _share(self.right, self.predicted)

    def recall(self) -> np.ndarray:
        return _share(self.right, self.true)

    def f1(self) -> np.ndarray:
        return _share(2 * self.right, self.true + self.predicted)

    def f1_micro(self) -> float:
        return float(_share(2 * self.right.sum(), (self.true + self.predicted).sum()))

    def mcc(self) -> float:
        rows = self.true.sum()
        covariance = self.right.sum() * rows - self.true @ self.predicted
        spread = np.sqrt((rows**2 - self.true @ self.true) * (rows**2 - self.predicted @ self.predicted))
        return float(_share(covariance, spread))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, and 0 where there is nothing to be a share of."""
    return np.divide(
        part, whole, out=np.zeros_like(np.asarray(part, np.float64)), where=np.asarray(whole) != 0
    )


def _macro(figure: Callable[[_Counts], np.ndarray]) -> Callable[[Predicted], float]:
    """The mean of a figure over the labels; with one label a row, over those that are true or predicted."""

    def mean(p: Predicted) -> float:
        counts = _Counts.of(p)
        occurs = np.full(p.classes, True) if p.targets.ndim == 2 else counts.true + counts.predicted > 0
        return figure(counts)[occurs].mean()

    return mean


def _binary(figure: Callable[[_Counts], np.ndarray]) -> Callable[[Predicted], float]:
    return lambda p: figure(_Counts.of(p))[1]


def _auc(p: Predicted) -> float:
    """The AUC of the second of two classes; else the mean over classes or labels, each against the rest."""
    if p.outputs is None or not np.isfinite(p.outputs).all():
        return float("nan")
    if p.targets.ndim == 1 and p.classes == 2:
        return _area(p.targets == 1, p.outputs[:, 1])
    truth = p.targets == 1 if p.targets.ndim == 2 else p.targets[:, None] == np.arange(p.classes)
    return float(np.mean([_area(truth[:, i], p.outputs[:, i]) for i in range(p.classes)]))


def _area(truth: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs of a true and an untrue row whose scores are in order; equal ones count half."""
    positive, negative = scores[truth], np.sort(scores[~truth])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative)) if len(positive) and len(negative) else float("nan")


def _errors(p: Predicted) -> np.ndarray:
    return np.subtract(p.targets, p.predictions, dtype=np.float64)


def _correlation(name: str) -> Callable[[Predicted], float]:
    def statistic(p: Predicted) -> float:
        from scipy import stats

        return getattr(stats, name)(p.targets, p.predictions).statistic

    return statistic


METRICS = {
    "loss": Metric(lambda p: p.loss, (*_CLASSES, *_REGRESSION), lower_is_better=True),
    "accuracy": Metric(lambda p: (p.targets == p.predictions).reshape(len(p.targets), -1).all(1).mean()),
    "precision": Metric(_macro(_Counts.precision)),
    "recall": Metric(_macro(_Counts.recall)),
    "f1": Metric(_macro(_Counts.f1)),
    "f1_micro": Metric(lambda p: _Counts.of(p).f1_micro(), ("multi-label",)),
    "precision_binary": Metric(_binary(_Counts.precision), ("single-label",), binary=True),
    "recall_binary": Metric(_binary(_Counts.recall), ("single-label",), binary=True),
    "f1_binary": Metric(_binary(_Counts.f1), ("single-label",), binary=True),
    "mcc": Metric(lambda p: _Counts.of(p).mcc(), ("single-label",)),
    "auc": Metric(_auc, of_probabilities=True),
    "pearson": Metric(_correlation("pearsonr"), _REGRESSION),
    "spearman": Metric(_correlation("spearmanr"), _REGRESSION),
    "mse": Metric(lambda p: np.square(_errors(p)).mean(), _REGRESSION, lower_is_better=True),
    "mae": Metric(lambda p: np.abs(_errors(p)).mean(), _REGRESSION, lower_is_better=True),
}
"""Precision, recall and f1 are means over the classes (macro). With several labels, accuracy is the share of
rows whose labels are all right."""


def metric_names(task: "Task", classes: int) -> list[str]:
    """The metrics that a task with so many classes has."""
    return [
        name
        for name, metric in METRICS.items()
        if task.name in metric.tasks
        and (classes == 2 or not metric.binary)
        and (classes <= MAX_CLASSES or not metric.of_probabilities)
    ]


def require_metric(name: str, task: "Task", classes: int) -> None:
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
    """Rows by true class (first axis) and predicted class [classes, classes].

    For several labels there is one such matrix for each, [classes, 2, 2].
    None for a regression and for more than MAX_CLASSES classes.
    """
    if not predicted.task.has_classes or predicted.classes > MAX_CLASSES:
        return None
    classes = predicted.classes
    if predicted.targets.ndim == 1:
        cells = predicted.targets.astype(np.int64) * classes + predicted.predictions
        return np.bincount(cells, minlength=classes**2).reshape(classes, classes).tolist()
    counts = _Counts.of(predicted)
    missed, false = counts.true - counts.right, counts.predicted - counts.right
    neither = len(predicted.targets) - counts.right - missed - false
    return np.stack([neither, false, missed, counts.right], 1).astype(int).reshape(classes, 2, 2).tolist()
