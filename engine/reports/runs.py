"""What a report is made of: the files of a head, and the rows of a scored file."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import ReportError
from ...store.nearest import did_you_mean_path
from ...store.progress import tell
from ..encode.hub_names import HubName
from ..finetune.tuned_files import RECORD
from ..heads.folders import head_folder
from ..heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from .number_rows import NumberRows
from .rows import Rows
from .set_rows import SetRows
from .table_rows import TEXT_COLUMNS, label_rows, number_rows, set_rows

MAX_ROWS = 100_000
"""Rows of a file that a report looks at; of more, a sample."""
_RECORDED = ("train", "valid", "figures_of", "l2", "command")
_MOST_LABELS = 10_000
_NO_ROW = "'{}' has no row with both a label and a prediction; is --label-column right?"


@dataclass(frozen=True)
class Run:
    """A head, or a scored file."""

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    sweep: list[dict[str, Any]] = field(default_factory=list)
    tried: list[dict[str, Any]] = field(default_factory=list)
    """The candidates of a search for a head."""
    rows: Rows | NumberRows | SetRows | None = None
    missing: list[str] = field(default_factory=list)
    """What cannot be shown, and why."""


def read_run(path: str | Path, label_column: str = "label") -> Run:
    """The folder of a head or a fine-tuned model, also on the hub, or a scored Parquet file.

    Raises ReportError for anything else, and HubError for what cannot be had from the hub.
    """
    if HubName.of(path):
        found = head_folder(path)
        return dataclasses.replace(read_run(found.folder, label_column), name=found.name)
    path = Path(path)
    if (path / "head.json").is_file():
        return _head(path)
    if (path / RECORD).is_file():
        from .tuned_run import tuned_run

        return tuned_run(path)
    if path.is_file():
        return _scored(path, label_column)
    raise ReportError(
        f"'{path}' is no run: expected the folder of a head (with head.json) or of a fine-tuned model "
        f"(with {RECORD}), or a Parquet file that `enc score` wrote{did_you_mean_path(path)}"
    )


def _head(folder: Path) -> Run:
    try:
        saved = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        metrics, record = dict(saved["metrics"]), saved["record"]
        labels = [str(label) for label in saved["labels"]]
        facts = {
            "head": str(saved["kind"]), "task": str(saved.get("task", "single-label")),
            "features": str(saved["features"]["name"]),
            **{name: str(record[name]) for name in _RECORDED if name in record},
            "made with": ", ".join(f"{name} {one}" for name, one in record.get("versions", {}).items()),
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(
            f"'{folder / 'head.json'}' is damaged ({error}); train the head again with `enc train-head`"
        ) from error
    missing: list[str] = []
    history: list[dict[str, Any]] = saved.get("history", [])
    if kept := _table(folder / "history.parquet", missing):
        history = kept.to_pylist()
    if "figures_of" in facts:
        # Of folds: the head was trained on all rows, and those that are called valid are among them.
        history = [{name: row[name] for name in row if not name.startswith("valid_")} for row in history]
    sweep = _table(folder / "sweep.parquet", missing)
    tried = _table(folder / "auto.parquet", missing)
    predicted = _table(folder / "out_of_fold.parquet", missing)
    rows = None
    if predicted is None:
        missing.append(
            "Probabilities of single rows are not kept in this folder: curves and wrong rows are of heads "
            "that were trained with --folds, or of files scored with `enc score --proba --label-column`."
        )
    else:
        rows = _out_of_fold(predicted, facts["task"], labels)
    found = {
        name: [] if table is None else table.to_pylist()
        for name, table in (("sweep", sweep), ("tried", tried))
    }
    return Run(folder.name, facts, metrics, labels, history, **found, rows=rows, missing=missing)


def _out_of_fold(predicted: pa.Table, task: str, labels: list[str]) -> Rows | NumberRows | SetRows | None:
    if task == REGRESSION.name:
        return number_rows(predicted, "label")
    if task == MULTI_LABEL.name:
        return set_rows(predicted, "label", labels)
    return label_rows(predicted, "label", labels) if task == SINGLE_LABEL.name else None


def _table(path: Path, missing: list[str]) -> pa.Table | None:
    """A table of a head; None, with a reason where it is damaged, if it cannot be read."""
    if not path.is_file():
        return None
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException):
        missing.append(f"{path.name} is damaged, and left out.")
        return None


def _scored(path: Path, label_column: str) -> Run:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        if "prediction" not in names:
            raise ReportError(
                f"'{path}' has no column 'prediction'; expected a file that `enc score` wrote with one head"
            )
        if label_column not in names:
            raise ReportError(
                f"'{path}' has no column '{label_column}' (it has: {', '.join(names[:20])}); pass the column "
                "of the true label: --label-column NAME"
            )
        wanted = {label_column, "prediction", *TEXT_COLUMNS}
        columns = [name for name in names if name in wanted or name.startswith("proba_")]
        table = _sample(file, columns)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ReportError(
            f"'{path}' cannot be read as Parquet ({reason}); expected a file that `enc score` wrote"
        ) from error
    kind, labelled = table.schema.field("prediction").type, table.schema.field(label_column).type
    count = file.metadata.num_rows
    counts = {"file": path.name, "rows": f"{count:,}"}
    if pa.types.is_floating(kind):
        return _scored_numbers(path, table, label_column, counts, count)
    if pa.types.is_nested(kind):
        return _scored_sets(path, table, label_column, counts, count)
    if pa.types.is_nested(labelled):
        raise ReportError(f"'{path}' has lists in '{label_column}', and one prediction a row")
    known = {str(value) for name in (label_column, "prediction") for value in table[name].unique().to_pylist()
             if value is not None}  # fmt: skip
    if len(known) > _MOST_LABELS:
        raise ReportError(f"'{path}' has more than {_MOST_LABELS:,} labels, which no page shows")
    rows = label_rows(table, label_column, sorted(known), count)
    if not len(rows.truth):
        raise ReportError(_NO_ROW.format(path))
    missing = []
    if rows.probabilities is None:
        missing.append(
            "The file has no column of probabilities for each label; score with --proba for curves."
        )
    accuracy = float((rows.truth == rows.predicted).mean()) if len(rows.truth) else None
    return Run(path.stem, counts, {"accuracy": accuracy}, rows.labels, rows=rows, missing=missing)


def _scored_numbers(path: Path, table: pa.Table, label_column: str, facts: dict[str, str], of: int) -> Run:
    kind = table.schema.field(label_column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ReportError(
            f"'{path}' predicts numbers, and column '{label_column}' holds {kind}; pass the column of the "
            "true number: --label-column NAME"
        )
    rows = number_rows(table, label_column, of)
    if not len(rows.truth):
        raise ReportError(_NO_ROW.format(path))
    errors = rows.predicted - rows.truth
    metrics: dict[str, Any] = {"mae": float(np.abs(errors).mean()), "mse": float((errors**2).mean())}
    if min(rows.truth.std(), rows.predicted.std()) > 0:
        metrics = {"pearson": float(np.corrcoef(rows.truth, rows.predicted)[0, 1])} | metrics
    return Run(path.stem, facts, metrics, rows=rows)


def _scored_sets(path: Path, table: pa.Table, label_column: str, facts: dict[str, str], of: int) -> Run:
    if not pa.types.is_list(table.schema.field(label_column).type):
        raise ReportError(
            f"'{path}' predicts lists of labels, and column '{label_column}' holds none; pass the column of "
            "the true lists: --label-column NAME"
        )
    labels = [name.removeprefix("proba_") for name in table.column_names if name.startswith("proba_")]
    rows = set_rows(table, label_column, labels, of)
    if rows is None:
        raise ReportError(f"'{path}' has no probabilities, which several labels need; score with --proba")
    if not len(rows.truth):
        raise ReportError(_NO_ROW.format(path))
    right = float(((rows.probabilities > 0.5) == rows.truth).all(1).mean())
    return Run(path.stem, facts, {"accuracy": right}, labels, rows=rows)


def _sample(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
    """All rows with their number in the file, or a random sample of MAX_ROWS."""
    rows, rng = file.metadata.num_rows, np.random.default_rng(0)
    chosen = np.sort(rng.choice(rows, MAX_ROWS, replace=False)) if rows > MAX_ROWS else np.arange(rows)
    parts, start = [], 0
    for batch in file.iter_batches(1 << 16, columns=columns):
        inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)]
        parts.append(batch.take(pa.array(inside - start)))
        start += batch.num_rows
        tell("reading", start, rows)
    table = pa.Table.from_batches(parts) if parts else file.schema_arrow.empty_table().select(columns)
    return table.append_column("row", pa.array(chosen + 1))
