"""From a sweep's runs to one head: settings are compared over seeds and folds, and the best is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from torch.nn import Module

from ...store import DivergedError, FeatureTable, Source, SourceError
from ..heads.ensemble import Ensemble
from ..heads.head import Head
from ..pairs.combination import Combination, names_in_any
from ..train.config import TrainConfig
from ..train.examples import RowOptions, TrainData, load_examples
from ..train.fit import fit
from ..train.judging import finished_head, make_loss, tested
from ..train.summary import SetSummary
from ..train.validation import Folds
from .comparison import Compared, Found, compared_settings, require_complete, sort_value, table_of_runs
from .folds import fold_of_rows, mean_or_none, out_of_fold, out_of_fold_table
from .grid import Run, distinct_parts, full_names, runs_of
from .runs import RunResult, train_runs


def search(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    grid: Mapping[str, Sequence[Any]],
    seeds: int = 1,
    ensemble: bool = False,
    config: TrainConfig | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    **rows: Unpack[RowOptions],
) -> Found:
    """Train every combination of ``grid``, with all seeds and folds, and keep the best.

    For ``grid`` see :func:`engine.sweep.grid.parse_sweep`. The best setting has the best mean of
    ``config.metric``, or of the task's metric. The head is its best seed, or with ``ensemble`` all of its
    seeds, their probabilities averaged. With Folds as ``valid``, a head is trained anew on all rows, with the
    setting's first seed or as an ensemble; its figures are of the held-out folds: means over the setting's
    runs, or figures of the ensemble. Raises DivergedError where every setting lost all of its seeds to runs
    that diverged. For the rest see :func:`engine.train.fit.train_head`.
    """
    table, config, grid = FeatureTable.of(table), config or TrainConfig(), full_names(grid)
    valid = rows.get("valid")
    folds = valid.count if isinstance(valid, Folds) else None
    if ensemble and seeds == 1:
        raise SourceError("an ensemble is of several seeds: pass --seeds 5 with --ensemble")
    runs = runs_of(config, grid, seeds=seeds, folds=folds)
    require_one_use(grid, rows)
    parts = distinct_parts(table.spec, (run.use for run in runs), rows.get("use") or table.spec)
    runs = [run for run in runs if run.use in parts]
    rows["use"] = next(iter(parts.values()))
    rows["combine"] = combine_of(train, grid, rows)
    data = load_examples(train, table, seed=config.seed, **rows)
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    fold_of = fold_of_rows(data.train.features.locations, folds, config.seed) if folds else None
    results: list[RunResult] = []
    for use, part in parts.items():
        for combine in grid.get("combine", [None]):
            chosen = [run for run in runs if (run.use, run.combine) == (use, combine)]
            served = data.using(part, combine)
            results += train_runs(served, chosen, seed=config.seed, folds=fold_of, say=say)
    watched = config.metric or data.task.metric
    compared = compared_settings(_by_setting(results, list(grid)), watched)
    require_complete(compared, watched, say)
    best = compared[0]
    kept = best.results[0].run
    chosen_data = data.using(parts[kept.use], kept.combine)
    if fold_of is None:
        head, predicted = _head(chosen_data, best, watched, ensemble=ensemble), None
    else:
        head, predicted = _head_of_all_rows(chosen_data, best, fold_of, ensemble=ensemble, seed=config.seed)
    record = {
        **head.record,
        "sweep": {name: list(values) for name, values in grid.items()},
        "seeds": seeds,
        "folds": folds or 0,
    }
    head = tested(head.replace(record=record), chosen_data.test)
    return Found(head, watched, compared, table_of_runs(compared), predicted)


def require_one_use(grid: Mapping[str, Sequence[Any]], rows: RowOptions) -> None:
    """Raise SourceError where parts of the features are both swept and chosen."""
    if "use" in grid and rows.get("use"):
        raise SourceError("parts are named by --use or by --sweep use=…, not by both; leave one out")


def combine_of(
    train: Source, grid: Mapping[str, Sequence[Any]], rows: RowOptions
) -> Combination | str | Sequence[str] | None:
    """What is to be combined where any of the grid's combinations is tried."""
    given = rows.get("combine")
    if "combine" not in grid:
        return given
    if not train.is_separate:
        raise SourceError(
            "'combine' is swept for pairs that are encoded apart: add --pair-column and --pairs separate"
        )
    return names_in_any(grid["combine"]) if given is None else given


def _run_of(result: RunResult) -> Run:
    assert isinstance(result.run, Run)
    return result.run


def _by_setting(
    results: Sequence[RunResult], names: Sequence[str]
) -> list[tuple[dict[str, Any], list[RunResult]]]:
    groups: dict[str, tuple[dict[str, Any], list[RunResult]]] = {}
    for result in results:
        setting = _run_of(result).setting(names)
        groups.setdefault(repr(setting), (setting, []))[1].append(result)
    return list(groups.values())


def _head(data: TrainData, best: Compared, watched: str, *, ensemble: bool) -> Head:
    """The best seed of the best setting, or all of its seeds."""
    if ensemble:
        return _averaged(data, best.complete)

    def order(result: RunResult) -> float:
        value = result.metrics[watched]
        assert value is not None  # or it were not complete
        return sort_value(watched, value)

    result = min(best.complete, key=order)
    config = _run_of(result).config
    return finished_head(data, config, result.network, make_loss(data, config), [], epoch=result.epoch)


def _head_of_all_rows(
    data: TrainData, best: Compared, fold_of: np.ndarray, *, ensemble: bool, seed: int
) -> tuple[Head, pa.Table]:
    """The best setting trained on all rows, with figures of its folds; and predictions of rows held out."""
    config = _run_of(best.complete[0]).config
    seeds = sorted({result.run.config.seed for result in best.complete})
    members = seeds if ensemble else seeds[:1]
    networks: dict[int, list[Module]] = {}
    for result in best.complete:
        if result.run.config.seed in members and result.run.fold is not None:
            networks.setdefault(result.run.fold, []).append(result.network)
    outputs, judged = out_of_fold(data, make_loss(data, config), fold_of, networks)
    epochs = max(1, round(float(np.mean([result.epoch for result in best.complete]))))
    anew = [
        replace(config, metric=None, early_stopping=None, epochs=epochs, seed=member) for member in members
    ]
    if ensemble:
        results = train_runs(data, [Run(one) for one in anew], seed=seed)
        if any(result.diverged for result in results):
            raise DivergedError(
                "training diverged on all rows: the loss is no number; pass a lower --learning-rate"
            )
        head, of = (
            _averaged(data, results),
            f"the ensemble of {len(seeds)} seeds on {len(networks)} held-out folds",
        )
    else:
        judged = {name: mean_or_none([result.metrics[name] for result in best.complete]) for name in judged}
        head, of = fit(data, anew[0], order_seed=seed), f"the setting on {len(networks)} held-out folds"
        if len(seeds) > 1:
            of += f", means of {len(seeds)} seeds"
    kept = {name: value for name, value in head.metrics.items() if name not in ("confusion_matrix", *judged)}
    head = head.replace(metrics={**judged, **kept}, record={**head.record, "figures_of": of})
    return head, out_of_fold_table(data, head, fold_of, outputs)


def _averaged(data: TrainData, results: Sequence[RunResult]) -> Head:
    """Runs as one head."""
    config = _run_of(results[0]).config
    network = Ensemble([result.network for result in results], data.task)
    head = finished_head(data, config, network, make_loss(data, config), [], epoch=results[0].epoch)
    return head.replace(members=len(results))
