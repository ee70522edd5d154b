"""The report that training writes beside what it trained."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...pages.page import write_page
from ...pages.painter import Painter
from ...store import FeatureTable, Source
from ..heads.head import Head
from .held_out import held_out_rows
from .number_rows import NumberRows
from .report import page_of
from .rows import Rows
from .runs import Run, read_run
from .set_rows import SetRows

if TYPE_CHECKING:
    from ..finetune.judged import JudgedRows

REPORT = "report.html"


def report_of_head(
    folder: str | Path,
    head: Head,
    painter: Painter,
    table: FeatureTable,
    train: Source,
    valid: Source | float | None,
    *,
    predicted: pa.Table | None = None,
    seed: int = 42,
) -> Path:
    """Write report.html into the folder of a head that was just trained and saved; returns its path.

    ``valid`` is the source of the validation rows, the share of TRAIN's texts that was held out, or None for
    cross-validation, and then ``predicted`` is what :func:`engine.sweep.folds.out_of_fold_table` gave.
    """
    source = valid if isinstance(valid, Source) else train
    share = valid if isinstance(valid, float) else None
    rows = held_out_rows(head, table, source, share=share, seed=seed, predicted=predicted)
    return write_run_report(read_run(folder), rows, folder, painter)


def report_of_tuned(folder: str | Path, judged: "JudgedRows | None", painter: Painter) -> Path:
    """Write report.html into the folder of a model that was just fine-tuned; returns its path."""
    rows = None
    if judged is not None:
        places = [f"row {row}" for row in judged.rows.tolist()]
        rows = Rows(
            list(judged.labels), judged.truth, judged.probabilities.argmax(1).astype(np.int64),
            judged.probabilities, judged.texts, places, len(judged.truth), judged.tokens, judged.truncated,
        )  # fmt: skip
    return write_run_report(read_run(folder), rows, folder, painter)


def write_run_report(
    run: Run, rows: Rows | NumberRows | SetRows | None, folder: str | Path, painter: Painter
) -> Path:
    """Write report.html of a run and its rows into a folder; returns its path."""
    if rows is not None:
        run = replace(run, rows=rows, missing=[])
    return write_page(page_of([run]), Path(folder) / REPORT, painter)
