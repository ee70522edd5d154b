"""Cross-validation of the path of :func:`engine.train.solve.solve`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from ...store import FeatureTable, Source, SourceError
from ..heads.metrics import compute, metric_names, require_metric
from ..train.config import TrainConfig
from ..train.examples import RowOptions, SetSummary, load_examples
from ..train.fit import evaluate, make_loss
from ..train.solve import L2_PATH, solutions, solve
from .comparison import Found, compared_settings, require_complete, table_of_runs
from .folds import fold_of_rows, holding_out, out_of_fold, out_of_fold_table
from .grid import Run
from .runs import RunResult


def search_path(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    folds: int,
    l2: Sequence[float] = L2_PATH,
    config: TrainConfig | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    **rows: Unpack[RowOptions],
) -> Found:
    """Walk the path of ``l2`` once for each fold held out, and solve for the best of them on all rows.

    The best ``l2`` has the best mean over the folds of ``config.metric``, or of the task's; of equals it
    is the strongest. The head's figures are those means. Validation rows besides the folds are an error.
    """
    config = config or TrainConfig()
    if folds < 2:
        raise SourceError(f"folds count from 2, not {folds}")
    data = load_examples(train, table, seed=config.seed, cross_validate=True, **rows)
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    watched, names = config.metric or data.task.metric, metric_names(data.task, data.outputs)
    require_metric(watched, data.task, data.outputs)
    fold_of = fold_of_rows(data.train.features.locations, folds, config.seed)
    settings: dict[float, tuple[dict[str, Any], list[RunResult]]] = {}
    for fold in range(folds):
        part = holding_out(data, fold_of, fold)
        loss, seconds = make_loss(part, config), 0.0
        for step, solved in enumerate(solutions(part, config, l2), 1):
            network = solved.network.eval()
            figures = compute(names, evaluate(network, part.valid, data.task, loss, outputs=True))
            result = RunResult(Run(config, fold=fold), step, figures, network)
            settings.setdefault(solved.l2, ({"l2": solved.l2}, []))[1].append(result)
            seconds += solved.seconds
        say(f"fold {fold + 1}/{folds}: {len(settings)} solutions in {seconds:.2f} s")
    compared = compared_settings(settings.values(), watched)
    require_complete(compared, watched, say)
    best = compared[0]
    networks = {fold: [result.network] for fold, result in enumerate(best.results)}
    outputs, judged = out_of_fold(data, make_loss(data, config), fold_of, networks)
    head = solve(data, config, l2=[best.setting["l2"]])
    kept = {name: value for name, value in head.metrics.items() if name not in ("confusion_matrix", *judged)}
    record = {**head.record, "folds": folds, "figures_of": f"the setting on {folds} held-out folds"}
    head = head.replace(metrics={**judged, **kept}, record=record)
    return Found(
        head, watched, compared, table_of_runs(compared), out_of_fold_table(data, head, fold_of, outputs)
    )
