"""What linear heads predict of rows that they did not see, and what leaving out rows does to such heads."""

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from ...store.progress import tell
from ..heads.metrics import Predicted, compute
from ..sweep.folds import fold_of_rows, holding_out
from ..train.examples import Examples, TrainData
from ..train.judging import evaluate, make_loss
from ..train.solve import solutions
from ..train.solve_config import SolveConfig
from .confident import Confidence

_PATIENCE = 2
"""So many weaker regularisations in a row that raise the held-out loss end the path: weak ones take long."""


@dataclass(frozen=True)
class HeldOut:
    """Outputs float32 [rows, outputs] of every training row, by heads that did not see it."""

    outputs: np.ndarray
    fold_of: np.ndarray
    """int64 [rows]"""
    are_judged: np.ndarray
    """bool [rows]: False for a row whose label no row of the other folds has; nothing is known of it."""
    l2: float
    """The strength of regularisation with the lowest loss on the held-out rows."""


def held_out_outputs(data: TrainData, config: SolveConfig, folds: int) -> HeldOut:
    """Outputs of every training row, by the strength of ``config.l2`` that has the lowest held-out loss.

    Equal texts are in one fold. Raises HeadError where there are fewer distinct texts than folds.
    """
    fold_of = fold_of_rows(data.train.features.locations, folds, config.seed)
    losses: dict[float, list[float]] = {}
    outputs: dict[float, np.ndarray] = {}
    are_judged = np.empty(len(fold_of), np.bool_)
    tell("solving", 0, folds)
    for fold in range(folds):
        part, rows = holding_out(data, fold_of, fold), np.flatnonzero(fold_of == fold)
        are_judged[rows] = _have_known_labels(part.train.targets, part.valid.targets, data)
        lowest, worse, loss = np.inf, 0, make_loss(part, config)
        with closing(solutions(part, config)) as path:
            for solved in path:
                judged = evaluate(solved.network.eval(), part.valid, data.task, loss, outputs=True)
                losses.setdefault(solved.l2, []).append(judged.loss * len(rows))
                held = outputs.setdefault(solved.l2, np.empty((len(fold_of), data.outputs), np.float32))
                held[rows] = judged.outputs
                worse = 0 if judged.loss < lowest else worse + 1
                lowest = min(lowest, judged.loss)
                if worse == _PATIENCE:
                    break
        tell("solving", fold + 1, folds)
    totals = {l2: sum(found) for l2, found in losses.items() if len(found) == folds}
    best = min(totals, key=totals.__getitem__)
    return HeldOut(outputs[best], fold_of, are_judged, best)


def _have_known_labels(train: np.ndarray, held_out: np.ndarray, data: TrainData) -> np.ndarray:
    """Whether all labels of each held-out row are those of a training row, too, bool [held-out rows]."""
    if not data.task.has_classes:
        return np.ones(len(held_out), np.bool_)
    if train.ndim == 1:
        return np.bincount(train, minlength=data.outputs)[held_out] > 0
    is_absent = np.logical_not((train > 0).any(0))
    return np.logical_not(((held_out > 0) & is_absent).any(1))


def outputs_of(data: TrainData, config: SolveConfig, l2: float, judged: Examples) -> Predicted:
    """Predictions and outputs on some rows of the head that is solved for on the training rows."""
    fixed = replace(config, l2=(l2,))
    (solved,) = solutions(data, fixed)
    return evaluate(solved.network.eval(), judged, data.task, make_loss(data, fixed), outputs=True)


@dataclass(frozen=True)
class WithAndWithout:
    """A metric of heads that are trained on all rows, and on those whose label is not doubtful."""

    metric: str
    judged_on: str
    """Which rows the metric is of."""
    rows: int
    """How many these are; doubtful ones are among them."""
    left_out: int
    """Doubtful rows that were left out of training; with folds, of all folds' training rows."""
    with_all: float | None
    without: float | None
    error: float | None
    """Standard error of the difference of both, of single labels."""


def with_and_without(
    data: TrainData,
    config: SolveConfig,
    l2: float,
    are_wrong: np.ndarray,
) -> WithAndWithout:
    """Judged on validation rows, which had no say in which rows are left out.

    ``are_wrong`` is bool [training rows].
    """
    kept = np.flatnonzero(~are_wrong)
    cleaned = replace(data, train=data.train.subset(kept))
    title = f"the {len(data.valid.targets):,} validation rows"
    if not _keeps_labels(data, cleaned):
        return _compared(data, data.valid, [], title, 0)
    both = [outputs_of(one, config, l2, data.valid) for one in (data, cleaned)]
    return _compared(data, data.valid, both, title, int(are_wrong.sum()))


def with_and_without_by_folds(data: TrainData, config: SolveConfig, held_out: HeldOut) -> WithAndWithout:
    """Judged on held-out folds: which rows are left out of a fold's training rows is told by folds of these
    alone, so that the rows that judge have no say in it.
    """
    folds, rows = int(held_out.fold_of.max()) + 1, len(held_out.fold_of)
    outputs = [np.empty((rows, data.outputs), np.float32) for _ in range(2)]
    fixed, left_out = replace(config, l2=(held_out.l2,)), 0
    for fold in range(folds):
        part, here = holding_out(data, held_out.fold_of, fold), np.flatnonzero(held_out.fold_of == fold)
        inner, targets = held_out_outputs(part, fixed, folds), part.train.targets
        doubts = Confidence.of(data.task, targets, inner.outputs).doubts(targets, inner.outputs)
        are_wrong = doubts.are_wrong & inner.are_judged
        cleaned = replace(part, train=part.train.subset(np.flatnonzero(~are_wrong)))
        if not _keeps_labels(part, cleaned):
            return _compared(data, data.train, [], f"{folds} held-out folds", 0)
        left_out += int(are_wrong.sum())
        for held, one in zip(outputs, (part, cleaned), strict=True):
            held[here] = outputs_of(one, config, held_out.l2, part.valid).outputs
        tell("judging", fold + 1, folds)
    both = [
        Predicted(data.task, data.outputs, 0.0, data.train.targets, data.task.decide(held), held)
        for held in outputs
    ]
    return _compared(data, data.train, both, f"{folds} held-out folds", left_out)


def _keeps_labels(all_rows: TrainData, some: TrainData) -> bool:
    """Whether what can be learned from all rows can be learned from some of them."""
    before, after = all_rows.train.targets, some.train.targets
    if not len(after):
        return False
    if not all_rows.task.has_classes:
        return bool(after.min() < after.max())
    if before.ndim > 1:
        return bool((before.any(0) == after.any(0)).all())
    return len(np.unique(before)) == len(np.unique(after))


def _compared(
    data: TrainData, judged: Examples, both: list[Predicted], title: str, left_out: int
) -> WithAndWithout:
    metric = data.task.metric
    figures = [compute([metric], one)[metric] for one in both] or [None, None]
    error = None
    if both and metric == "accuracy":
        right = [(one.predictions == judged.targets).astype(np.float64) for one in both]
        error = float(np.std(right[1] - right[0]) / np.sqrt(len(right[0])))
    return WithAndWithout(metric, title, len(judged.targets), left_out, figures[0], figures[1], error)
