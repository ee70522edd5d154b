"""Which labels are probably wrong, by what heads that did not see a row predict of it.

For classes it is confident learning (Northcutt, Jiang and Chuang 2021, https://doi.org/10.1613/jair.1.12125,
section 3.1): a class is confident where its probability is at least the mean that it has over the rows with
that label. A label is doubtful where the most probable confident class is another one: these rows are off
the diagonal of the confident joint. For numbers, a label is doubtful that is as far from the prediction
as an outlier is.
"""

from dataclasses import dataclass

import numpy as np

from ..heads.tasks import REGRESSION, SINGLE_LABEL, Task

_DEVIATIONS = 3.5
"""A residual is far out beyond so many robust standard deviations (Iglewicz and Hoaglin 1993)."""
_TO_DEVIATION = 1.4826
"""Times the median absolute deviation: the standard deviation of a normal distribution."""


@dataclass(frozen=True)
class Doubts:
    """What heads that did not see a row say of its label; arrays are by row."""

    are_wrong: np.ndarray
    """bool [rows]: whether the label is probably wrong."""
    suggested: np.ndarray
    """Labels to put in their place, in the form of the task's targets; where none is wrong, the label."""
    of_label: np.ndarray
    """float32 [rows]: the probability of the label, of several of the least probable of them; minus the
    distance of a regression's.
    """
    of_suggested: np.ndarray
    """float32 [rows]: the probability of what is suggested; of several labels, of the most doubtful one; the
    prediction of a regression.
    """


@dataclass(frozen=True)
class Confidence:
    """What the rows with a label tell of how sure heads are of it."""

    task: Task
    thresholds: np.ndarray
    """By class, float64 [classes]; of several labels [2, classes], for their absence and their presence; of a
    regression [2], the middle of the residuals and how far from it is far out.
    """

    @classmethod
    def of(cls, task: Task, targets: np.ndarray, outputs: np.ndarray) -> "Confidence":
        """From targets and outputs float32 [rows, outputs] of heads that did not see the rows."""
        if task is SINGLE_LABEL:
            classes = np.arange(outputs.shape[1])
            means = [_mean(outputs[targets == one, one]) for one in classes]
            return cls(task, np.array(means))
        if task is REGRESSION:
            residuals = targets - outputs[:, 0].astype(np.float64)
            middle = np.median(residuals)
            spread = _TO_DEVIATION * np.median(np.abs(residuals - middle))
            return cls(task, np.array([middle, _DEVIATIONS * spread]))
        labels = range(outputs.shape[1])
        absent = [_mean(1 - outputs[targets[:, one] == 0, one]) for one in labels]
        present = [_mean(outputs[targets[:, one] == 1, one]) for one in labels]
        return cls(task, np.array([absent, present]))

    def doubts(self, targets: np.ndarray, outputs: np.ndarray) -> Doubts:
        """The doubts about some rows' labels."""
        if self.task is SINGLE_LABEL:
            return self._of_classes(targets, outputs)
        return (
            self._of_numbers(targets, outputs)
            if self.task is REGRESSION
            else self._of_lists(targets, outputs)
        )

    def _of_classes(self, targets: np.ndarray, outputs: np.ndarray) -> Doubts:
        rows = np.arange(len(targets))
        confident = np.where(outputs >= self.thresholds, outputs, -np.inf)
        best = confident.argmax(1)
        wrong = np.isfinite(confident.max(1)) & (best != targets)
        suggested = np.where(wrong, best, targets)
        return Doubts(wrong, suggested, outputs[rows, targets], outputs[rows, suggested])

    def _of_lists(self, targets: np.ndarray, outputs: np.ndarray) -> Doubts:
        """Each label is there or is not: as many questions of two classes."""
        absent, present = self.thresholds
        is_there = (outputs >= present) & (outputs > 1 - outputs)
        is_absent = (1 - outputs >= absent) & (1 - outputs > outputs)
        wrong = np.where(targets > 0, is_absent, is_there)
        of_label = np.where(targets > 0, outputs, 1 - outputs)
        suggested = np.where(wrong, 1 - targets, targets).astype(np.float32)
        least = of_label.min(1)
        return Doubts(wrong.any(1), suggested, least, 1 - least)

    def _of_numbers(self, targets: np.ndarray, outputs: np.ndarray) -> Doubts:
        predicted = outputs[:, 0].astype(np.float32)
        middle, far = self.thresholds
        distances = np.abs(targets - predicted - middle)
        wrong = (distances > far) & (far > 0)
        suggested = np.where(wrong, predicted, targets).astype(np.float32)
        return Doubts(wrong, suggested, -distances.astype(np.float32), predicted)


def _mean(values: np.ndarray) -> float:
    """The mean; infinite of no values, so that nothing is confident of a class without rows."""
    return float(values.mean(dtype=np.float64)) if len(values) else np.inf
