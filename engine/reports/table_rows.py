"""From a table that holds labels and predictions to the rows that a report shows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .number_rows import NumberRows
from .rows import Rows
from .set_rows import SetRows

TEXT_COLUMNS = ("text", "sentence")


def label_rows(table: pa.Table, label_column: str, labels: list[str], of: int | None = None) -> Rows:
    """Rows that have both a label and a prediction."""
    numbers = {label: number for number, label in enumerate(labels)}

    def side(name: str) -> np.ndarray:
        values = (None if value is None else str(value) for value in table[name].to_pylist())
        return np.array([numbers.get(value, -1) if value is not None else -1 for value in values], np.int64)

    sides = [side(label_column), side("prediction")]
    usable = (sides[0] >= 0) & (sides[1] >= 0)
    kept = table.filter(pa.array(usable))
    names = [f"proba_{label}" for label in labels]
    probabilities = None
    if labels and set(names) <= set(table.column_names):
        values = [kept[name].to_numpy(zero_copy_only=False) for name in names]  # type: ignore[call-arg]
        probabilities = np.stack(values, 1).astype(np.float32)
        if not np.isfinite(probabilities).all():
            probabilities = None
    texts, places = _told(kept)
    return Rows(
        labels, sides[0][usable], sides[1][usable], probabilities, texts, places,
        table.num_rows if of is None else of,
    )  # fmt: skip


def number_rows(table: pa.Table, label_column: str, of: int | None = None) -> NumberRows:
    """Rows that have both a number and a predicted one, both finite."""
    truth, predicted = (
        pc.cast(table[name], pa.float64(), safe=False).to_numpy().astype(np.float64)
        for name in (label_column, "prediction")
    )
    usable = np.isfinite(truth) & np.isfinite(predicted)
    texts, places = _told(table.filter(pa.array(usable)))
    return NumberRows(truth[usable], predicted[usable], texts, places, table.num_rows if of is None else of)


def set_rows(table: pa.Table, label_column: str, labels: list[str], of: int | None = None) -> SetRows | None:
    """Rows that have a list of labels and a probability of each label; None where the table has no
    probabilities.
    """
    names = [f"proba_{label}" for label in labels]
    if not labels or not set(names) <= set(table.column_names):
        return None
    probabilities = np.stack([table[name].to_numpy() for name in names], 1).astype(np.float32)
    lists, numbers = table[label_column].to_pylist(), {label: number for number, label in enumerate(labels)}
    usable = np.isfinite(probabilities).all(1) & np.array([one is not None for one in lists], np.bool_)
    truth = np.zeros((len(lists), len(labels)), np.bool_)
    for row, one in enumerate(lists):
        for label in one or ():
            if str(label) in numbers:
                truth[row, numbers[str(label)]] = True
    texts, places = _told(table.filter(pa.array(usable)))
    return SetRows(
        labels, truth[usable], probabilities[usable], texts, places, table.num_rows if of is None else of
    )


def _told(table: pa.Table) -> tuple[list[str] | None, list[str]]:
    """The texts of rows, if they are there, and where each row stands."""
    text = next((name for name in TEXT_COLUMNS if name in table.column_names), None)
    rows = table["row"].to_pylist()
    sources = table["source"].to_pylist() if "source" in table.column_names else [""] * len(rows)
    places = [f"{Path(source).name} row {row}".strip() for source, row in zip(sources, rows, strict=True)]
    return [str(value or "") for value in table[text].to_pylist()] if text else None, places
