"""Settings compared by their runs over seeds and folds."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...store import DivergedError
from ..heads.head import Head
from ..heads.metrics import METRICS
from ..train.best import undefined_metric
from ..train.config import TrainConfig
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
    """With folds, a row for each training row: source, row, fold, label, prediction and probabilities.

    They are predicted by the best setting's runs that held the row out: by those of the first seed, or for
    an ensemble by those of all seeds, averaged.
    """

    def __repr__(self) -> str:
        best = self.compared[0]
        return f"Found({best.setting}, {self.metric} {best.mean}, of {len(self.compared)} settings)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the settings, the best first, and the head."""
        from ...pages.notebook import piece

        names = list(self.compared[0].setting)
        rows = [
            [*(one.setting[name] for name in names), one.mean, one.deviation, len(one.results)]
            for one in self.compared
        ]
        title = f"{len(self.compared)} settings by {self.metric}"
        return piece(title, {}, [*names, self.metric, "deviation", "runs"], rows) + self.head._repr_html_()

    @property
    def tables(self) -> dict[str, pa.Table]:
        """What is kept beside the head, by name."""
        tables = {"sweep": self.runs}
        if self.out_of_fold is not None:
            tables["out_of_fold"] = self.out_of_fold
        return tables


def compared_settings(
    settings: Iterable[tuple[dict[str, Any], list[RunResult]]], watched: str
) -> list[Compared]:
    """Settings with their runs, the best first; of equals, in the order given."""
    compared = []
    for setting, results in settings:
        incomplete = {result.run.config.seed for result in results if result.metrics[watched] is None}
        complete = [result for result in results if result.run.config.seed not in incomplete]
        values = [result.metrics[watched] for result in complete]
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        deviation = float(np.std(known)) if known else 0.0
        compared.append(Compared(setting, mean, deviation, results, complete))

    def order(one: Compared) -> tuple[bool, bool, float]:
        if one.mean is None:
            return True, True, 0.0
        return False, len(one.complete) < len(one.results), sort_value(watched, one.mean)

    return sorted(compared, key=order)


def sort_value(watched: str, value: float) -> float:
    """What sorts values of a metric with the best first."""
    return value if METRICS[watched].lower_is_better else -value


def require_complete(compared: Sequence[Compared], watched: str, say: Callable[[str], None]) -> None:
    """Raise an error where no setting has a figure to be judged by; else tell of runs that diverged."""
    results = [result for setting in compared for result in setting.results]
    diverged = sum(result.diverged for result in results)
    if compared[0].mean is not None:
        if diverged:
            say(
                f"{diverged} of {len(results)} runs diverged: their loss is no number; "
                "a lower learning rate may help them"
            )
        return
    if not diverged:
        raise undefined_metric(watched)
    configs = [result.run.config for result in results]
    lowest = min(config.learning_rate for config in configs if isinstance(config, TrainConfig))
    raise DivergedError(
        f"{diverged} of {len(results)} runs diverged, and no setting is left: their loss is no number; "
        f"sweep learning rates below {lowest:g}"
    )


def table_of_runs(compared: Sequence[Compared]) -> pa.Table:
    """A row for each run."""
    rows = [_row(setting.setting, result) for setting in compared for result in setting.results]
    for name in compared[0].setting:  # a column has one type
        if {type(row[name]) for row in rows} not in ({bool}, {str}, {int}, {float}, {int, float}):
            rows = [row | {name: json.dumps(row[name])} for row in rows]
    return pa.Table.from_pylist(rows)


def _row(setting: dict[str, Any], result: RunResult) -> dict[str, Any]:
    run = result.run
    return {
        **setting,
        "seed": run.config.seed,
        "fold": run.fold,
        "epoch": result.epoch,
        "diverged": result.diverged,
        **result.metrics,
    }
