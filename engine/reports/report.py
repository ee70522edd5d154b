"""Runs as a page: figures side by side, curves, matrices, and the rows that are worst classified."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pages.charts import COLOURS, line_chart, matrix_chart
from ...pages.content import Block, Cell, Chart, Column, Figure, Figures, Note, Page, Section, Table
from ...pages.numbers import number_cell, number_text, setting_cell
from ...pages.page import write_page
from ...pages.painter import Painter
from ...store import ReportError
from ..encode.model_files import cache_folder
from .classes import Classes
from .curves import precision_recall
from .figures import confusion_matrix, run_figures, shown_metrics
from .number_rows import NumberRows
from .rows import Rows
from .rows_shown import feature_map, lengths, worst_rows
from .runs import Run, read_run
from .set_rows import SetRows

SCHEMA = 1
_TRIED = (
    ("metric", ".4f", "on its folds", "The metric that counts, the mean over the folds."),
    ("error", ".4f", "±", "The standard error of the mean."),
    ("seconds", ",.1f", "seconds", "To train and judge it, without encoding."),
    ("feature_bytes", ",", "bytes a row", "Of the features of a row in the store."),
    ("head_bytes", ",", "bytes of the head", "Its size."),
    ("texts_per_second", ",.0f", "new texts/s", "How many it scores here, encoding included."),
)
"""Of a candidate: the field, how its number is written, title and hint."""
_SET_COLOURS = dict(zip(("training", "validation"), COLOURS, strict=False))
_CLASSES_SHOWN, _MATRIX_CLASSES, _CURVES = 200, 20, 6


@dataclass(frozen=True)
class Report:
    """A page that was written, and what it is of."""

    page: Path
    runs: Sequence[Run]

    def as_dict(self) -> dict[str, Any]:
        """The figures that the page shows, ready for JSON; see docs/reports.md."""
        return {"schema": SCHEMA, "report": str(self.page), "runs": [run_figures(run) for run in self.runs]}


def write_report(paths: Sequence[str | Path], output: str | Path, label_column: str = "label") -> Report:
    """Write report.html of heads' folders and scored files into a folder.

    Raises ReportError for what is no run, and where nothing can draw.
    """
    if not paths:
        raise ReportError("a report is of a run; name the folder of a head, or a scored file")
    with Painter(cache_folder() / "pages") as painter:
        runs = [read_run(path, label_column) for path in paths]
        return Report(write_page(page_of(runs), Path(output) / "report.html", painter), runs)


def page_of(runs: Sequence[Run]) -> Page:
    """The page of one run, or of several side by side with each of them below."""
    sections = [_compared(runs)] if len(runs) > 1 else []
    for run in runs:
        before = f"{run.name}: " if len(runs) > 1 else ""
        sections += [
            Section(f"{before}{title}", blocks) for title, blocks in _parts(run) if blocks
        ]  # fmt: skip
    title = f"Report of {runs[0].name}" if len(runs) == 1 else f"Report of {len(runs)} runs"
    return Page(title, sections, facts=runs[0].facts if len(runs) == 1 else {})


def _parts(run: Run) -> list[tuple[str, list[Block]]]:
    numbers = [
        Figure(name.replace("_", " "), number_text(value)) for name, value in shown_metrics(run).items()
    ]
    summary: list[Block] = [Figures(numbers)] if numbers else []
    summary += [Note(text) for text in run.missing]
    if run.rows is not None and run.rows.of > len(run.rows.truth):
        summary.append(Note(f"Below, {len(run.rows.truth):,} of {run.rows.of:,} rows: a random sample, or "
                            "those with both a label and a prediction."))  # fmt: skip
    return [
        ("Figures", summary),
        ("Candidates", _candidates(run)),
        ("Learning curves", _learning(run)),
        *_parts_of_rows(run, run.rows),
        ("Sweep", _sweep(run)),
    ]


def _parts_of_rows(run: Run, rows: Rows | NumberRows | SetRows | None) -> list[tuple[str, list[Block]]]:
    if rows is not None and not isinstance(rows, Rows):
        return rows.parts()
    matrix = confusion_matrix(run)
    return [
        ("Classes", _classes(run.labels, matrix) if matrix is not None else []),
        ("Probabilities", _probabilities(rows)),
        ("Worst classified rows", worst_rows(rows)),
        ("Lengths", lengths(rows)),
        ("Map", feature_map(rows)),
    ]


def _compared(runs: Sequence[Run]) -> Section:
    names = list(dict.fromkeys(name for run in runs for name in shown_metrics(run)))
    columns = [Column("run"), *(Column(name.replace("_", " "), is_number=True) for name in names)]
    rows = [[Cell(run.name), *(number_cell(run.metrics.get(name)) for name in names)] for run in runs]
    return Section("Side by side", [Table(columns, rows)])


def _learning(run: Run) -> list[Block]:
    if not run.history:
        return []
    step = "epoch" if "epoch" in run.history[0] else "step"
    charts: list[Block] = []
    names = [name for row in run.history for name in row if name.partition("_")[0] in ("train", "valid")]
    figures = dict.fromkeys(name.partition("_")[2] for name in names)
    for figure in figures:
        values = [
            {"step": row[step], "value": row[f"{side}_{figure}"], "set": title}
            for side, title in (("train", "training"), ("valid", "validation"))
            for row in run.history
            if row.get(f"{side}_{figure}") is not None
        ]
        if len(values) < 2:
            continue
        shown = dict.fromkeys(value["set"] for value in values)
        kept = run.metrics.get("epoch")
        is_whole = isinstance(kept, int)  # a fine-tuned model is as its last step left it
        spec = line_chart(
            values,
            ("step", step),
            ("value", figure),
            "set",
            colours=[_SET_COLOURS[name] for name in shown],
            mark_at=kept if is_whole else None,
        )
        remarks = [f"of the {name} rows" for name in shown] if len(shown) == 1 else []
        said = "; ".join([*remarks, *["the dashed line is what was kept"] * is_whole])
        charts.append(Chart(figure, spec, f"{figure} by {step}", said))
    return charts


def _classes(labels: Sequence[str], matrix: np.ndarray) -> list[Block]:
    found, true = Classes.of_matrix(labels, matrix), matrix.sum(1)
    chosen = sorted(found.by_frequency[:_MATRIX_CLASSES])
    names = [labels[number] for number in chosen]
    values = [
        {
            "true": labels[i], "predicted": labels[j], "rows": int(matrix[i, j]),
            "share": float(matrix[i, j] / max(1, true[i])), "shown": f"{matrix[i, j]:,}",
        }
        for i in chosen
        for j in chosen
    ]  # fmt: skip
    caption = "rows by true and predicted label"
    if len(labels) > _MATRIX_CLASSES:
        caption += f"; the {_MATRIX_CLASSES} most frequent of {len(labels):,} labels"
    spec = matrix_chart(values, names, cell=max(24, min(64, 420 // len(names))))
    return [Chart("Confusion matrix", spec, caption, caption), found.table(_CLASSES_SHOWN)]


def _probabilities(rows: Rows | None) -> list[Block]:
    if rows is None or rows.probabilities is None or not len(rows.truth):
        return []
    found = rows.calibration
    assert found is not None  # there are probabilities
    bins = zip(found.confidence.tolist(), found.accuracy.tolist(), strict=True)
    values = [{"sure": x, "right": y, "what": "predictions"} for x, y in bins]
    reliable = line_chart(
        values, ("sure", "probability"), ("right", "share that is right"), "what", diagonal=(0.0, 1.0),
        x_scale={"domain": [0, 1]}, y_scale={"domain": [0, 1]},
    )  # fmt: skip
    frequent = np.argsort(-np.bincount(rows.truth, minlength=len(rows.labels)), kind="stable")[:_CURVES]
    curves = [
        {"recall": recall, "precision": precision, "label": rows.labels[number]}
        for number in frequent
        for recall, precision in precision_recall(rows.truth == number, rows.probabilities[:, number])
    ]
    axes: dict[str, Any] = {"x_scale": {"domain": [0, 1]}, "y_scale": {"domain": [0, 1]}}
    curve = line_chart(
        curves, ("recall", "recall"), ("precision", "precision"), "label", points=False, **axes
    )
    return [
        Chart("Reliability", reliable, "probability against frequency",
              f"expected calibration error {found.error:.4f}"),
        Chart("Precision and recall", curve, "precision by recall",
              f"of the {len(frequent)} most frequent labels"),
    ]  # fmt: skip


def _candidates(run: Run) -> list[Block]:
    if not run.tried:
        return []
    columns = [
        Column("candidate"),
        *(Column(title, is_number=True, hint=hint) for _, _, title, hint in _TRIED),
    ]
    cells = [
        [
            Cell(str(one["name"]), kind="best" if one["is_kept"] else ""),
            *(
                Cell("–" if one[name] is None else format(one[name], form), one[name])
                for name, form, _, _ in _TRIED
            ),
        ]
        for one in run.tried
    ]
    return [Table(columns, cells, "what was tried, in the order of its cost; the green one was kept")]


def _sweep(run: Run) -> list[Block]:
    if not run.sweep:
        return []
    names = [name for name in run.sweep[0] if any(row[name] not in (None, False) for row in run.sweep)]
    settings = names[: names.index("seed")] if "seed" in names else []
    numeric = {name for name in names if isinstance(run.sweep[0][name], (int, float))}
    columns = [Column(name.replace("_", " "), is_number=name in numeric) for name in names]
    shown = run.sweep[:500]
    caption = f"{len(shown)} of {len(run.sweep):,} runs" if len(run.sweep) > len(shown) else ""
    cells = [
        [setting_cell(row[name]) if name in settings else number_cell(row[name]) for name in names]
        for row in shown
    ]
    return [Table(columns, cells, caption)]
