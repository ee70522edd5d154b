"""From a sweep's runs to one head: settings compared over their seeds and folds, and the best of them kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ..store import FeatureSpec, FeatureTable, HeadError, Source, SourceError
from .config import TrainConfig
from .data import SetSummary, TrainData, load_examples
from .ensemble import Ensemble
from .grid import runs_of
from .layers import select_parts
from .metrics import METRICS
from .model import Head
from .sweep import RunResult, fold_of_rows, train_runs
from .tasks import SINGLE_LABEL
from .train import finished_head, fit, make_loss


@dataclass(frozen=True)
class Compared:
    """One setting of a sweep: the watched metric over its seeds and folds."""

    setting: dict[str, Any]
    mean: float | None
    """None where the metric is undefined for any of them."""
    deviation: float
    results: list[RunResult]


@dataclass(frozen=True)
class Found:
    """What a sweep found."""

    head: Head
    metric: str
    compared: list[Compared]
    """Settings, the best first."""
    runs: pa.Table
    """A row for each run: its setting, seed, fold, epoch and metrics."""
    out_of_fold: pa.Table | None
    """With folds, a row for each training row and the best setting's first seed: source, row, fold, label, prediction, outputs."""

    @property
    def tables(self) -> dict[str, pa.Table]:
        """What is kept beside the head, by name."""
        return {"sweep": self.runs} | ({"out_of_fold": self.out_of_fold} if self.out_of_fold is not None else {})


def search(
    train: Source,
    table: FeatureTable,
    *,
    grid: Mapping[str, Sequence[Any]],
    seeds: int = 1,
    folds: int = 0,
    ensemble: bool = False,
    valid: Source | None = None,
    valid_fraction: float | None = None,
    label_column: str | Sequence[str] = "label",
    task: str | None = None,
    use: FeatureSpec | None = None,
    batches: str | None = None,
    config: TrainConfig | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Found:
    """Train every combination of ``grid`` (see :func:`engine.grid.parse_sweep`), seeds and folds; keep the best.

    The best setting has the best mean of ``config.metric``, or of the task's. Its best seed is the
    head; with ``ensemble`` all of its seeds are, their probabilities averaged; with ``folds`` a head is
    trained anew on all rows, and its figures are those of the held-out folds. For the rest see
    :func:`engine.train.train_head`.
    """
    config = config or TrainConfig()
    if ensemble and seeds < 2:
        raise SourceError("an ensemble is of several seeds: pass --seeds 5 with --ensemble")
    runs = runs_of(config, grid, seeds=seeds, folds=folds)
    parts = {run.use: select_parts(table.spec, run.use) if run.use else use or table.spec for run in runs}
    data = load_examples(
        train, table, valid=valid, valid_fraction=valid_fraction, label_column=label_column, task=task,
        use=next(iter(parts.values())), batches=batches, seed=config.seed, cross_validate=folds > 0,
    )  # fmt: skip
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    fold_of = fold_of_rows(data.train.features.locations, folds, config.seed) if folds else None
    results: list[RunResult] = []
    for name, part in parts.items():
        results += train_runs(data.using(part), [run for run in runs if run.use == name], folds=fold_of, say=say)
    watched = config.metric or data.task.metric
    compared = _compared(results, list(grid), watched)
    best = compared[0]
    if best.mean is None:
        raise SourceError(f"metric '{watched}' is undefined on the validation rows; pass another with --metric")
    chosen_data = data.using(parts[best.results[0].run.use])
    head = _head(chosen_data, best, watched, ensemble=ensemble, folds=folds)
    record = {**head.record, "sweep": {name: list(values) for name, values in grid.items()}, "seeds": seeds, "folds": folds}
    return Found(
        head.replace(record=record),
        watched,
        compared,
        pa.Table.from_pylist([_row(result, list(grid)) for setting in compared for result in setting.results]),
        _out_of_fold(chosen_data, head, best, fold_of) if fold_of is not None else None,
    )


def _compared(results: Sequence[RunResult], names: Sequence[str], watched: str) -> list[Compared]:
    groups: dict[str, list[RunResult]] = {}
    for result in results:
        groups.setdefault(repr(result.run.setting(names)), []).append(result)
    compared = []
    for group in groups.values():
        values = [result.metrics[watched] for result in group]
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if len(known) == len(values) else None
        compared.append(Compared(group[0].run.setting(names), mean, float(np.std(known)) if known else 0.0, group))
    sign = 1 if METRICS[watched].lower_is_better else -1
    return sorted(compared, key=lambda c: (c.mean is None, sign * (c.mean or 0.0)))


def _head(data: TrainData, best: Compared, watched: str, *, ensemble: bool, folds: int) -> Head:
    """The head of the best setting."""
    sign = 1 if METRICS[watched].lower_is_better else -1
    config = best.results[0].run.config
    seeds = sorted({result.run.config.seed for result in best.results})
    if folds:  # what was judged is the setting; the head has all rows
        epochs = max(1, round(float(np.mean([result.epoch for result in best.results]))))
        anew = replace(config, metric=None, early_stopping=None, epochs=epochs)
        heads = [fit(data, replace(anew, seed=seed)) for seed in (seeds if ensemble else seeds[:1])]
        judged = {name: _mean([r.metrics[name] for r in best.results]) for name in best.results[0].metrics}
        head = _averaged(data, heads) if ensemble else heads[0]
        kept = {name: value for name, value in head.metrics.items() if name not in ("confusion_matrix", *judged)}
        return head.replace(metrics={**judged, **kept})
    loss = make_loss(data, config)
    if ensemble:
        return _averaged(data, [finished_head(data, r.run.config, r.network, loss, [], epoch=r.epoch) for r in best.results])
    result = min(best.results, key=lambda r: sign * (r.metrics[watched] or 0.0))
    return finished_head(data, result.run.config, result.network, loss, [], epoch=result.epoch)


def _averaged(data: TrainData, heads: Sequence[Head]) -> Head:
    network = Ensemble([head.network for head in heads], data.task)
    config = TrainConfig(**heads[0].record["config"])
    head = finished_head(data, config, network, make_loss(data, config), [], epoch=heads[0].metrics["epoch"])
    return head.replace(members=len(heads))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _row(result: RunResult, names: Sequence[str]) -> dict[str, Any]:
    setting = {name: str(v) if isinstance(v, (list, dict)) else v for name, v in result.run.setting(names).items()}
    return {**setting, "seed": result.run.config.seed, "fold": result.run.fold, "epoch": result.epoch, **result.metrics}


def _out_of_fold(data: TrainData, head: Head, best: Compared, fold_of: np.ndarray) -> pa.Table:
    """Predictions for every training row by the run that did not see it."""
    if data.train.source_rows is None:
        raise HeadError("the training rows were read without their places in the source")
    seed = best.results[0].run.config.seed
    outputs = np.empty((len(fold_of), data.outputs), np.float32)
    for result in best.results:
        if result.run.config.seed == seed:
            outputs[result.rows] = result.outputs
    targets = data.train.targets
    truth = np.eye(data.outputs, dtype=np.float32)[targets] if data.task is SINGLE_LABEL else targets
    columns = {
        "source": data.train.source_rows["source"],
        "row": data.train.source_rows["row"],
        "fold": pa.array(fold_of),
        "label": head.decided(truth) if data.task.has_classes else pa.array(targets),
        "prediction": head.decided(outputs),
    }
    if data.task.has_classes:
        columns |= {f"proba_{label}": pa.array(outputs[:, i]) for i, label in enumerate(data.labels.values)}
    return pa.table(columns)
