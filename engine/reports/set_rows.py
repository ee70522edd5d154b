"""Rows with several labels in a report: figures of each label, its probabilities, and the worst rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pages.charts import line_chart
from ...pages.content import Block, Cell, Chart, Column, Note, Table
from ...pages.numbers import number_cell
from ...pages.texts import cut
from .classes import Classes
from .curves import Calibration, calibration, precision_recall

_LABELS, _CURVES, _WORST, _TEXT = 200, 6, 30, 300
_LEAST = 1e-7  # of a probability, so that a row's surprise is a number


@dataclass(frozen=True)
class SetRows:
    """Rows with a set of labels, and a probability of each label."""

    labels: list[str]
    truth: np.ndarray
    """bool [rows, labels]"""
    probabilities: np.ndarray
    """float32 [rows, labels]"""
    texts: list[str] | None
    places: list[str]
    """Where each row stands."""
    of: int
    """Rows that there are; more than those here where they were sampled."""

    def parts(self) -> list[tuple[str, list[Block]]]:
        """Titles and blocks of the sections."""
        return [
            ("Labels", [self.classes.table(_LABELS)]),
            ("Probabilities", [self._reliability(), self._curves()]),
            ("Worst classified rows", [self._worst()]),
        ]

    @property
    def _predicted(self) -> np.ndarray:
        return self.probabilities > 0.5

    @property
    def classes(self) -> Classes:
        """Figures of each label."""
        return Classes.of_sets(self.labels, self.truth, self._predicted)

    @property
    def calibration(self) -> Calibration:
        """Of the decisions over all labels; one against a label is as sure as the label is improbable."""
        sure = np.where(self._predicted, self.probabilities, 1 - self.probabilities).astype(np.float64)
        return calibration(sure.ravel(), (self._predicted == self.truth).ravel())

    def _reliability(self) -> Chart:
        found = self.calibration
        bins = zip(found.confidence.tolist(), found.accuracy.tolist(), strict=True)
        values = [{"sure": x, "right": y, "what": "decisions"} for x, y in bins]
        spec = line_chart(
            values, ("sure", "probability of the decision"), ("right", "share that is right"), "what",
            diagonal=(0.5, 1.0), x_scale={"domain": [0.5, 1]}, y_scale={"domain": [0, 1]},
        )  # fmt: skip
        said = f"expected calibration error {found.error:.4f}, over all labels"
        return Chart("Reliability", spec, "probability against frequency", said)

    def _curves(self) -> Chart:
        shown = self.classes.by_frequency[:_CURVES]
        curves = [
            {"recall": recall, "precision": precision, "label": self.labels[number]}
            for number in shown
            for recall, precision in precision_recall(self.truth[:, number], self.probabilities[:, number])
        ]
        axes: dict[str, Any] = {"x_scale": {"domain": [0, 1]}, "y_scale": {"domain": [0, 1]}}
        spec = line_chart(
            curves, ("recall", "recall"), ("precision", "precision"), "label", points=False, **axes
        )
        said = f"of the {len(shown)} most frequent labels"
        return Chart("Precision and recall", spec, "precision by recall", said)

    def _worst(self) -> Table | Note:
        wrong = np.flatnonzero((self._predicted != self.truth).any(1))
        if not len(wrong):
            return Note("No row is classified wrongly.")
        held = np.where(self.truth[wrong], self.probabilities[wrong], 1 - self.probabilities[wrong])
        surprise = -np.log(np.maximum(held.astype(np.float64), _LEAST)).sum(1)
        order = np.argsort(-surprise, kind="stable")[:_WORST]
        columns = [Column("text", is_wide=True)] if self.texts is not None else []
        columns += [Column("labels"), Column("predicted"), Column("surprise", is_number=True), Column("row")]
        cells = []
        for row, much in zip(wrong[order].tolist(), surprise[order].tolist(), strict=True):
            line = [Cell(cut(self.texts[row], _TEXT))] if self.texts is not None else []
            line += [Cell(self._named(self.truth[row])), Cell(self._named(self._predicted[row]))]
            cells.append([*line, number_cell(much), Cell(self.places[row], kind="quiet")])
        said = "surprise is the sum over labels of -ln of the probability of what is true"
        return Table(columns, cells, f"{len(cells):,} of {len(wrong):,} that are not wholly right; {said}")

    def _named(self, chosen: np.ndarray) -> str:
        return ", ".join(self.labels[number] for number in np.flatnonzero(chosen).tolist()) or "–"
