"""The figures that a page shows of a run, for programs."""

import math
from typing import Any

import numpy as np

from .classes import Classes
from .number_rows import NumberRows
from .rows import Rows
from .runs import Run
from .set_rows import SetRows

_MATRIX_CLASSES, _TOLD_CLASSES = 2000, 200
_LEFT_OUT = ("confusion_matrix",)


def run_figures(run: Run) -> dict[str, Any]:
    """Metrics, classes, calibration, curves and sweep of a run, ready for JSON; see docs/reports.md.

    What is not finite is None, since JSON has no word for it.
    """
    matrix, rows = confusion_matrix(run), run.rows
    classes = rows.classes if isinstance(rows, SetRows) else None
    if matrix is not None:
        classes = Classes.of_matrix(run.labels, matrix)
    found = None if rows is None or isinstance(rows, NumberRows) else rows.calibration
    return _finite(
        {
            "name": run.name,
            "facts": run.facts,
            "metrics": shown_metrics(run),
            "labels": run.labels,
            "rows": None if rows is None else rows.of,
            "rows_shown": None if rows is None else len(rows.truth),
            "classes": [] if classes is None else list(classes.as_dicts()),
            "confusion_matrix": matrix.tolist()
            if matrix is not None and len(matrix) <= _TOLD_CLASSES
            else None,
            "calibration_error": None if found is None else found.error,
            "reliability": []
            if found is None
            else [
                {"probability": probability, "right": right, "rows": count}
                for probability, right, count in zip(
                    found.confidence.tolist(), found.accuracy.tolist(), found.rows.tolist(), strict=True
                )
            ],
            "curves": run.history,
            "sweep": run.sweep,
            "tried": run.tried,
            "missing": run.missing,
        }
    )


def shown_metrics(run: Run) -> dict[str, Any]:
    """The figures of a run that are single numbers."""
    return {name: value for name, value in run.metrics.items() if name not in _LEFT_OUT}


def confusion_matrix(run: Run) -> np.ndarray | None:
    """Rows by true and predicted label, int64 [labels, labels]; None of runs that have no such thing."""
    rows, count = run.rows, len(run.labels)
    if isinstance(rows, Rows):
        cells = rows.truth * count + rows.predicted
        return (
            np.bincount(cells, minlength=count**2).reshape(count, count) if count <= _MATRIX_CLASSES else None
        )
    if rows is not None:
        return None
    found = np.array(run.metrics.get("confusion_matrix") or [])
    return found if found.shape == (count, count) and len(found) else None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
