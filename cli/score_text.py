"""What `enc score` and `enc evaluate` print."""

from typing import TYPE_CHECKING

from .text import count_text, figures_table, matrix_text, rejects_line, rows_of, seconds_line

if TYPE_CHECKING:
    from ..engine import EvaluationSummary, ScoreSummary

_SHOWN_LABELS = 20
_MATRIX_CLASSES = 10


def summary_text(summary: "ScoreSummary") -> str:
    """Where the scored rows are, counts, and metrics where there are some."""
    named = len(summary.predictions) > 1
    lines = [
        ("rows read", f"{summary.rows:,}", ""),
        ("scored", f"{summary.scored:,}", ""),
        *[("with a label", f"{found.rows:,}", "") for found in list(summary.metrics.values())[:1]],
        *(
            (column if named else "predicted", "", _labels_text(counts))
            for column, counts in summary.predictions.items()
            if counts
        ),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, summary.rows)),
        ("texts in the store", f"{summary.cached:,}", ""),
        ("encoded", f"{summary.encoded:,}", ""),
        ("seconds", f"{summary.seconds['total']:.2f}", seconds_line(summary.seconds)),
    ]
    first, *others = summary.outputs
    more = f" and {len(others):,} more files" if others else ""
    parts = [f"scored rows are in '{first}'{more}", rows_of(lines)]
    if summary.rejects_file:
        parts.append(f"rejected rows are in '{summary.rejects_file}'")
    if summary.metrics:
        parts.append(figures_table({column: found.metrics for column, found in summary.metrics.items()}))
    return "\n".join(parts)


def evaluation_text(summary: "EvaluationSummary", labels: list[str]) -> str:
    """Metrics, and the confusion matrix of few classes."""
    found = summary.figures
    lines = [
        ("rows with a label", f"{found.rows:,}", ""),
        *(
            [("predicted", f"{found.predicted:,}", "the others are below the threshold")]
            if found.predicted < found.rows
            else []
        ),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, found.rows + summary.rejected)),
        ("texts in the store", f"{summary.cached:,}", ""),
        ("encoded", f"{summary.encoded:,}", ""),
    ]
    parts = [rows_of(lines), figures_table({count_text(found.rows, "row"): found.metrics})]
    matrix = found.confusion_matrix
    if matrix and len(labels) <= _MATRIX_CLASSES and isinstance(matrix[0][0], int):
        parts.append(matrix_text(labels, matrix))
    if summary.wrong_file:
        parts.append(f"{summary.wrong:,} rows that are wrong are in '{summary.wrong_file}', the worst first")
    return "\n".join(parts)


def _labels_text(counts: dict[str, int]) -> str:
    shown = [f"{label}: {rows:,}" for label, rows in counts.items()]
    if len(shown) > _SHOWN_LABELS:
        shown[_SHOWN_LABELS:] = ["…"]
    return ", ".join(shown)
