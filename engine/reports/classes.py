"""Figures of each class: how many rows have it, and how often predictions of it are right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...pages.content import Cell, Column, Table
from ...pages.numbers import number_cell


@dataclass(frozen=True)
class Classes:
    """Counts of rows by class, int64 [classes] each."""

    labels: Sequence[str]
    rows: np.ndarray
    """Rows whose label it is."""
    predicted: np.ndarray
    right: np.ndarray
    """Rows with both."""

    @classmethod
    def of_matrix(cls, labels: Sequence[str], matrix: np.ndarray) -> "Classes":
        """From the rows by true and predicted label, [classes, classes]."""
        return cls(labels, matrix.sum(1), matrix.sum(0), matrix.diagonal())

    @classmethod
    def of_sets(cls, labels: Sequence[str], truth: np.ndarray, predicted: np.ndarray) -> "Classes":
        """From whether a row has a class, and whether that was predicted, bool [rows, classes]."""
        return cls(labels, truth.sum(0), predicted.sum(0), (truth & predicted).sum(0))

    @property
    def by_frequency(self) -> list[int]:
        """Numbers of the classes, the most frequent first."""
        return np.argsort(-self.rows, kind="stable").tolist()

    def figures(self, number: int) -> tuple[float | None, float | None, float | None]:
        """Precision, recall and F1 of a class; None where they are of no row."""
        true, predicted, right = int(self.rows[number]), int(self.predicted[number]), int(self.right[number])
        return (
            right / predicted if predicted else None,
            right / true if true else None,
            2 * right / (true + predicted) if true + predicted else None,
        )

    def as_dicts(self) -> Iterator[dict[str, object]]:
        """What the table shows, of all classes."""
        for number in self.by_frequency:
            precision, recall, f1 = self.figures(number)
            yield {
                "label": self.labels[number], "rows": int(self.rows[number]),
                "predicted": int(self.predicted[number]), "precision": precision, "recall": recall, "f1": f1,
            }  # fmt: skip

    def table(self, most: int) -> Table:
        """The ``most`` most frequent classes, for a page."""
        shown = self.by_frequency[:most]
        rows = []
        for number in shown:
            counts = int(self.rows[number]), int(self.predicted[number])
            cells = [number_cell(one) for one in (*counts, *self.figures(number))]
            rows.append([Cell(self.labels[number]), *cells])
        titles = ("rows", "predicted", "precision", "recall", "F1")
        columns = [Column("label"), *(Column(one, is_number=True) for one in titles)]
        is_part = len(self.labels) > len(shown)
        return Table(columns, rows, f"the {most} most frequent of {len(self.labels):,}" if is_part else "")
