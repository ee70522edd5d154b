"""What a report is made of: the files of a head, and the rows of a scored file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import ReportError
from ..finetune.tuned_files import RECORD

MAX_ROWS = 100_000
"""Rows of a file that a report looks at; of more, a sample."""
_TEXT_COLUMNS = ("text", "sentence")
_RECORDED = ("train", "valid", "figures_of", "l2", "command")
_MOST_LABELS = 10_000


@dataclass(frozen=True)
class Rows:
    """Rows with a label and a prediction of one label each."""

    labels: list[str]
    truth: np.ndarray
    """Class numbers, int64 [rows], and so are the predictions."""
    predicted: np.ndarray
    probabilities: np.ndarray | None
    """float32 [rows, labels]"""
    texts: list[str] | None
    places: list[str]
    """Where each row stands."""
    of: int
    """Rows that there are; more than those here where they were sampled."""
    tokens: np.ndarray | None = None
    """Tokens of each text before it was cut, int32 [rows]."""
    truncated: np.ndarray | None = None
    """Whether each text was cut, bool [rows]."""
    features: np.ndarray | None = None
    """What the head takes, float32 [n, width], of the first n rows."""


@dataclass(frozen=True)
class Run:
    """A head, or a scored file."""

    name: str
    facts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    sweep: list[dict[str, Any]] = field(default_factory=list)
    rows: Rows | None = None
    missing: list[str] = field(default_factory=list)
    """What cannot be shown, and why."""


def read_run(path: str | Path, label_column: str = "label") -> Run:
    """The folder of a head or a fine-tuned model, or a scored Parquet file. Raises ReportError else."""
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
        f"(with {RECORD}), or a Parquet file that `enc score` wrote"
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
    history = _table(folder / "history.parquet", missing)
    sweep = _table(folder / "sweep.parquet", missing)
    predicted = _table(folder / "out_of_fold.parquet", missing)
    rows = None
    if predicted is None:
        missing.append(
            "Probabilities of single rows are not kept in this folder: curves and wrong rows are of heads "
            "that were trained with --folds, or of files scored with `enc score --proba --label-column`."
        )
    elif facts["task"] == "single-label":
        rows = _rows(predicted, "label", labels)
    return Run(
        folder.name, facts, metrics, labels, history.to_pylist() if history is not None else [],
        sweep.to_pylist() if sweep is not None else [], rows, missing,
    )  # fmt: skip


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
        wanted = {label_column, "prediction", *_TEXT_COLUMNS}
        columns = [name for name in names if name in wanted or name.startswith("proba_")]
        table = _sample(file, columns)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise ReportError(f"'{path}' cannot be read as Parquet ({reason}); score again") from error
    if pa.types.is_nested(table.schema.field("prediction").type):
        raise ReportError(f"'{path}' has lists of labels; reports of scored files take one label a row")
    known = {str(value) for name in (label_column, "prediction") for value in table[name].unique().to_pylist()
             if value is not None}  # fmt: skip
    if len(known) > _MOST_LABELS or pa.types.is_floating(table.schema.field("prediction").type):
        raise ReportError(f"'{path}' holds numbers rather than labels; reports of scored files are of labels")
    rows = _rows(table, label_column, sorted(known), file.metadata.num_rows)
    if not len(rows.truth):
        raise ReportError(f"'{path}' has no row with both a label and a prediction; is --label-column right?")
    missing = []
    if rows.probabilities is None:
        missing.append(
            "The file has no column of probabilities for each label; score with --proba for curves."
        )
    counts = {"file": path.name, "rows": f"{file.metadata.num_rows:,}"}
    accuracy = float((rows.truth == rows.predicted).mean()) if len(rows.truth) else None
    return Run(path.stem, counts, {"accuracy": accuracy}, rows.labels, rows=rows, missing=missing)


def _sample(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
    """All rows with their number in the file, or a random sample of MAX_ROWS."""
    rows, rng = file.metadata.num_rows, np.random.default_rng(0)
    chosen = np.sort(rng.choice(rows, MAX_ROWS, replace=False)) if rows > MAX_ROWS else np.arange(rows)
    parts, start = [], 0
    for batch in file.iter_batches(1 << 16, columns=columns):
        inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)]
        parts.append(batch.take(pa.array(inside - start)))
        start += batch.num_rows
    table = pa.Table.from_batches(parts) if parts else file.schema_arrow.empty_table().select(columns)
    return table.append_column("row", pa.array(chosen + 1))


def _rows(table: pa.Table, label_column: str, labels: list[str], of: int | None = None) -> Rows:
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
    text = next((name for name in _TEXT_COLUMNS if name in table.column_names), None)
    rows = kept["row"].to_pylist()
    sources = kept["source"].to_pylist() if "source" in kept.column_names else [""] * len(rows)
    places = [f"{Path(source).name} row {row}".strip() for source, row in zip(sources, rows, strict=True)]
    texts = [str(value or "") for value in kept[text].to_pylist()] if text else None
    return Rows(
        labels, sides[0][usable], sides[1][usable], probabilities, texts, places,
        table.num_rows if of is None else of,
    )  # fmt: skip
