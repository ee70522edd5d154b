"""What is in a set of rows: how many there are of each label, and what was left out."""

from dataclasses import dataclass

import numpy as np

from ...store import LabelError
from ..heads.labels import Labels, class_counts, listing
from ..heads.tasks import REGRESSION, Task


@dataclass(frozen=True)
class SetSummary:
    """What is in one set of rows, and what was left out of it."""

    name: str
    rows: int
    """Rows with a label and features."""
    counts: dict[str, int]
    """Rows by label, in the order of the labels, for each label of a row; empty for a regression."""
    span: tuple[float, float] | None
    """The lowest and the highest target of a regression."""
    unlabelled: int
    rejected: int

    @property
    def majority(self) -> float:
        """Share of the most frequent class: the accuracy of always guessing it."""
        return max(self.counts.values(), default=0) / max(1, self.rows)


def summary_of(
    targets: np.ndarray, task: Task, labels: Labels, name: str, *, unlabelled: int = 0, rejected: int = 0
) -> SetSummary:
    """What is in a set of rows with these targets, of which there is at least one."""
    span = (float(targets.min()), float(targets.max())) if task is REGRESSION else None
    return SetSummary(name, len(targets), _counts(targets, labels), span, unlabelled, rejected)


def _counts(targets: np.ndarray, labels: Labels) -> dict[str, int]:
    if not len(labels):
        return {}
    counts = (
        class_counts(targets, len(labels))
        if targets.ndim == 1
        else targets.sum(0, dtype=np.float64).astype(int)
    )
    return dict(zip(map(str, labels.values), counts.tolist(), strict=True))


def require_something_to_learn(summary: SetSummary, title: str) -> None:
    """Raise LabelError where the training rows of the source of a title leave a label nothing to learn."""
    if summary.span and summary.span[0] == summary.span[1]:
        raise LabelError(
            f"all training rows of {title} have the label {summary.span[0]:g}; there is nothing to learn"
        )
    empty = [value for value, rows in summary.counts.items() if not rows]
    if empty:
        raise LabelError(
            f"no training row is left with label {listing(empty)}; is the label column right, "
            "or --valid-fraction too large?"
        )
