"""Rows of a regression in a report: what was predicted by what is true, the errors, and the worst of them."""

from dataclasses import dataclass

import numpy as np

from ...pages.charts import bar_chart, scatter_chart
from ...pages.content import Block, Cell, Chart, Column, Table
from ...pages.numbers import number_cell
from ...pages.texts import cut

_POINTS, _WORST, _TEXT, _HOVERED, _BINS = 1500, 30, 300, 140, 24


@dataclass(frozen=True)
class NumberRows:
    """Rows with a number and the number that was predicted."""

    truth: np.ndarray
    """float64 [rows], and so are the predictions; finite."""
    predicted: np.ndarray
    texts: list[str] | None
    places: list[str]
    """Where each row stands."""
    of: int
    """Rows that there are; more than those here where they were sampled."""

    def parts(self) -> list[tuple[str, list[Block]]]:
        """Titles and blocks of the sections."""
        return [("Predictions", [self._scatter(), self._errors()]), ("Worst predicted rows", [self._worst()])]

    def _scatter(self) -> Chart:
        shown = np.arange(len(self.truth))
        if len(shown) > _POINTS:
            shown = np.sort(np.random.default_rng(0).choice(shown, _POINTS, replace=False))
        values = [
            {"true": float(self.truth[row]), "predicted": float(self.predicted[row]),
             "text": self._text(row, _HOVERED)}
            for row in shown.tolist()
        ]  # fmt: skip
        hovered = (("text", "text"), ("true", "true", ".4~g"), ("predicted", "predicted", ".4~g"))
        spec = scatter_chart(
            values, ("true", "true"), ("predicted", "predicted"), hovered[self.texts is None :]
        )
        said = f"{len(shown):,} rows; on the dashed line, predictions are right"
        return Chart("Predicted by true", spec, "predicted number by true number", said)

    def _errors(self) -> Chart:
        errors = self.predicted - self.truth
        low, high = np.quantile(errors, [0.005, 0.995])
        edges = np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, high + 0.5])
        counts = np.histogram(np.clip(errors, edges[0], edges[-1]), edges)[0]
        values = [
            {"from": float(begin), "to": float(end), "rows": int(count), "kind": "rows"}
            for begin, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        spec = bar_chart(
            values, ("from", "to", "predicted less true"), ("rows", "rows"), "kind", ["rows"], form=".3~g"
        )
        said = f"mean {errors.mean():.4g}, half of them within {np.median(np.abs(errors)):.4g}"
        return Chart(
            "Errors", spec, "rows by predicted less true number", f"{said}; the outer bars hold the rest"
        )

    def _worst(self) -> Table:
        errors = np.abs(self.predicted - self.truth)
        worst = np.argsort(-errors, kind="stable")[:_WORST].tolist()
        columns = [Column("text", is_wide=True)] if self.texts is not None else []
        columns += [Column(name, is_number=True) for name in ("true", "predicted", "error")] + [Column("row")]
        cells = []
        for row in worst:
            line = [Cell(self._text(row, _TEXT))] if self.texts is not None else []
            truth, predicted = float(self.truth[row]), float(self.predicted[row])
            line += [_label_cell(truth), number_cell(predicted), number_cell(predicted - truth)]
            cells.append([*line, Cell(self.places[row], kind="quiet")])
        return Table(columns, cells, f"the {len(cells):,} rows with the largest errors of {len(errors):,}")

    def _text(self, row: int, most: int) -> str:
        return cut(self.texts[row], most) if self.texts is not None else ""


def _label_cell(number: float) -> Cell:
    """A cell with a number as it stands in a file, and not as float32 holds it."""
    return Cell(f"{number:,.0f}" if number.is_integer() else f"{number:.6g}", number)
