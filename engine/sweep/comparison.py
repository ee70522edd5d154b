"""Settings compared by their runs over seeds and folds."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...store import DivergedError, SourceError
from ..heads.head import Head
from ..heads.metrics import METRICS
from .runs import RunResult


@dataclass(frozen=True)
class Compared:
    """One setting of a sweep: the watched metric over its seeds and folds."""

    setting: dict[str, Any]
    mean: float | None
    """Over ``complete``; None where there are none."""
    deviation: float
    results: list[RunResult]
    complete: list[RunResult]
    """Those of the seeds for which no run diverged, and the metric is defined on every fold."""


@dataclass(frozen=True)
class Found:
    """What a sweep, or the cross-validation of a path, found."""

    head: Head
    metric: str
    compared: list[Compared]
    """Settings, the best first; those of which a run is undefined after all others."""
    runs: pa.Table
    """A row for each run: its setting, seed, fold, epoch, whether it diverged, and metrics."""
    out_of_fold: pa.Table | None
    """With folds, a row for each training row: source, row, fold, label, and what the best setting's runs that held it out
    predict: those of the first seed, or for an ensemble of all seeds, averaged."""

    @property
    def tables(self) -> dict[str, pa.Table]:
        """What is kept beside the head, by name."""
        return {"sweep": self.runs} | (
            {"out_of_fold": self.out_of_fold} if self.out_of_fold is not None else {}
        )


def compared_settings(
    settings: Iterable[tuple[dict[str, Any], list[RunResult]]], watched: str
) -> list[Compared]:
    """Settings with their runs, the best first; of equals, in the order given."""
    compared = []
    for setting, results in settings:
        incomplete = {result.run.config.seed for result in results if result.metrics[watched] is None}
        complete = [result for result in results if result.run.config.seed not in incomplete]
        values = [result.metrics[watched] or 0.0 for result in complete]
        mean, deviation = (float(np.mean(values)), float(np.std(values))) if values else (None, 0.0)
        compared.append(Compared(setting, mean, deviation, results, complete))
    sign = 1 if METRICS[watched].lower_is_better else -1
    return sorted(
        compared, key=lambda c: (c.mean is None, len(c.complete) < len(c.results), sign * (c.mean or 0.0))
    )


def require_complete(compared: Sequence[Compared], watched: str, say: Callable[[str], None]) -> None:
    """Raise an error where even the best setting has nothing to be judged by; else tell of runs that diverged."""
    best, results = compared[0], [result for setting in compared for result in setting.results]
    diverged = sum(result.diverged for result in results)
    if best.mean is None and diverged:
        lowest = min(result.run.config.learning_rate for result in results)
        raise DivergedError(
            f"{diverged} of {len(results)} runs diverged, and no setting is left: their loss is no number; "
            f"sweep learning rates below {lowest:g}"
        )
    if best.mean is None:
        raise SourceError(
            f"metric '{watched}' is undefined on the validation rows; pass another with --metric"
        )
    if diverged:
        say(
            f"{diverged} of {len(results)} runs diverged: their loss is no number; a lower learning rate may help them"
        )


def table_of_runs(compared: Sequence[Compared]) -> pa.Table:
    """A row for each run."""
    rows = [_row(setting, result) for setting in compared for result in setting.results]
    for name in compared[0].setting:  # a column has one type
        if {type(row[name]) for row in rows} not in ({bool}, {str}, {int}, {float}, {int, float}):
            rows = [row | {name: json.dumps(row[name])} for row in rows]
    return pa.Table.from_pylist(rows)


def _row(compared: Compared, result: RunResult) -> dict[str, Any]:
    run, told = result.run, {"epoch": result.epoch, "diverged": result.diverged}
    return {**compared.setting, "seed": run.config.seed, "fold": run.fold, **told, **result.metrics}
