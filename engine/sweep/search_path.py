"""Paths of :func:`engine.train.solve.solve`, compared over parts of features and over folds."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ...store import FeatureTable, Source, SourceError
from ...store.progress import tell
from ..heads.head import Head
from ..heads.metrics import compute, metric_names, require_metric
from ..train.examples import RowOptions, TrainData, load_examples
from ..train.judging import evaluate, finished_head, make_loss, tested
from ..train.solve import solutions, solve
from ..train.solve_config import SolveConfig
from ..train.summary import SetSummary
from ..train.validation import Folds
from .comparison import Found, compared_settings, require_complete, table_of_runs
from .folds import fold_of_rows, holding_out, out_of_fold, out_of_fold_table
from .grid import Trial, distinct_parts, require_grid
from .runs import RunResult
from .search import combine_of, require_one_use


def search_path(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    grid: Mapping[str, Sequence[str]] | None = None,
    config: SolveConfig | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    **rows: Unpack[RowOptions],
) -> Found:
    """Walk the path ``config.l2`` for each part of the features that ``grid`` names; keep the best.

    The best strength and parts have the best ``config.metric``, or else the best metric of the task, on the
    validation rows; of equals, the strongest is kept. ``grid`` has parts under ``use``, combinations of pairs
    under ``combine``, and nothing else.
    With Folds as ``valid`` the path is walked once for each fold, the best is solved for on all rows, and the
    figures are means over the folds.
    """
    config, grid, valid = config or SolveConfig(), grid or {}, rows.get("valid")
    require_grid(grid)
    for name in grid:
        if name not in ("use", "combine"):
            raise SourceError(
                f"'{name}' cannot be swept with --solver lbfgs, which walks the path of --l2 1,0.1,0.01; "
                "leave it out, or sweep use=… or combine=…"
            )
    require_one_use(grid, rows)
    table = FeatureTable.of(table)
    parts = distinct_parts(table.spec, grid.get("use", [None]), rows.get("use") or table.spec)
    rows["use"] = next(iter(parts.values()))
    rows["combine"] = combine_of(train, grid, rows)
    data = load_examples(train, table, seed=config.seed, **rows)
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    watched = config.metric or data.task.metric
    require_metric(watched, data.task, data.outputs)
    folds = valid.count if isinstance(valid, Folds) else None
    fold_of = fold_of_rows(data.train.features.locations, folds, config.seed) if folds else None
    settings: dict[tuple[str | None, str | None, float], tuple[dict[str, Any], list[RunResult]]] = {}
    ways = list(itertools.product(parts, grid.get("combine", [None])))
    tell("judging", 0, len(ways) * (folds or 1))
    for number, (use, combine) in enumerate(ways):
        served = data.using(parts[use], combine)
        named = "".join(f"{name}: " for name in (use, combine) if name is not None)
        for fold in range(folds) if folds else [None]:
            chosen, title = served, named
            if fold_of is not None and fold is not None:
                chosen, title = holding_out(chosen, fold_of, fold), f"{title}fold {fold + 1}/{folds}: "
            started = time.perf_counter()
            walked = _walked(chosen, config, Trial(config, use, combine, fold))
            tell("judging", number * (folds or 1) + (fold or 0) + 1, len(ways) * (folds or 1))
            say(f"{title}{len(walked)} solutions in {time.perf_counter() - started:.2f} s")
            for l2, result in walked:
                swept = {"use": use, "combine": combine, "l2": l2}
                setting = {name: value for name, value in swept.items() if name == "l2" or name in grid}
                settings.setdefault((use, combine, l2), (setting, []))[1].append(result)
    compared = compared_settings(settings.values(), watched)
    require_complete(compared, watched, say)
    best = compared[0]
    kept, l2 = best.results[0].run, float(best.setting["l2"])
    chosen = data.using(parts[kept.use], kept.combine)
    record: dict[str, Any] = {"solver": "lbfgs", "l2": l2}
    if grid:
        record["sweep"] = {name: list(values) for name, values in grid.items()}
    if fold_of is None:
        found = best.results[0]
        head = finished_head(chosen, config, found.network, make_loss(chosen, config), [], epoch=found.epoch)
        predicted = None
    else:
        head, outputs = _head_of_all_rows(chosen, config, l2, fold_of, best.results)
        predicted = out_of_fold_table(chosen, head, fold_of, outputs)
        record |= {"folds": folds, "figures_of": f"the setting on {folds} held-out folds"}
    head = tested(head.replace(record={**head.record, **record}), chosen.test)
    return Found(head, watched, compared, table_of_runs(compared), predicted)


def _walked(data: TrainData, config: SolveConfig, trial: Trial) -> list[tuple[float, RunResult]]:
    """The strengths of a path, and what became of each on the validation rows."""
    loss, names = make_loss(data, config), metric_names(data.task, data.outputs)
    walked = []
    for step, solved in enumerate(solutions(data, config), 1):
        network = solved.network.eval()
        figures = compute(names, evaluate(network, data.valid, data.task, loss, outputs=True))
        walked.append((solved.l2, RunResult(trial, step, figures, network)))
    return walked


def _head_of_all_rows(
    data: TrainData, config: SolveConfig, l2: float, fold_of: np.ndarray, results: Sequence[RunResult]
) -> tuple[Head, np.ndarray]:
    """The best strength solved for on all rows, with the figures of its folds; and what these predict."""
    networks = {result.run.fold: [result.network] for result in results if result.run.fold is not None}
    outputs, judged = out_of_fold(data, make_loss(data, config), fold_of, networks)
    head = solve(data, replace(config, l2=(l2,)))
    kept = {name: value for name, value in head.metrics.items() if name not in ("confusion_matrix", *judged)}
    config_record = {"config": asdict(config)}
    return head.replace(metrics={**judged, **kept}, record={**head.record, **config_record}), outputs
