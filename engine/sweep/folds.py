"""Cross-validation: the fold of each row, and what heads that did not see a row predict of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ...store import HeadError
from ..heads.head import Head
from ..heads.metrics import Predicted, compute, metric_names
from ..heads.tasks import SINGLE_LABEL
from ..train.examples import TrainData
from ..train.judging import Loss, evaluate


def fold_of_rows(texts: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold int64 [rows] of each row, by what identifies its text.

    A text is never in two folds, and the folds have as many texts as each other, or one more.
    Raises HeadError where there are fewer distinct texts than folds.
    """
    distinct, inverse = np.unique(texts, return_inverse=True)
    if len(distinct) < folds:
        raise HeadError(f"{folds} folds need as many distinct texts; there are {len(distinct)}")
    return (np.random.default_rng(seed).permutation(len(distinct)) % folds)[inverse]


def holding_out(data: TrainData, fold_of: np.ndarray, fold: int) -> TrainData:
    """Data to train on all folds but one, and to validate on that one. The data must be read with Folds."""
    train, valid = (data.train.subset(np.flatnonzero(rows)) for rows in (fold_of != fold, fold_of == fold))
    return replace(data, train=train, valid=valid)


def out_of_fold(
    data: TrainData, loss: Loss, fold_of: np.ndarray, networks: Mapping[int, Sequence[torch.nn.Module]]
) -> tuple[np.ndarray, dict[str, float | None]]:
    """Outputs float32 [rows, outputs] of every training row, by networks that did not see it; and metrics.

    ``networks`` holds the networks by the fold that they hold out; rows of other folds are nan. The outputs
    of several networks are averaged, as an ensemble's are. Metrics are means over the folds, None where one
    of the folds has none.
    """
    task, names = data.task, metric_names(data.task, data.outputs)
    outputs = np.full((len(fold_of), data.outputs), np.nan, np.float32)
    figures = []
    for fold, members in networks.items():
        rows = np.flatnonzero(fold_of == fold)
        held_out = data.train.subset(rows)
        found = [evaluate(member, held_out, task, loss, outputs=True).outputs for member in members]
        outputs[rows] = np.mean([values for values in found if values is not None], axis=0)
        averages = torch.from_numpy(outputs[rows])
        mean_loss = float(loss(task.torch.logits(averages), torch.from_numpy(held_out.targets)).mean())
        decided = task.decide(outputs[rows])
        figures.append(
            compute(names, Predicted(task, data.outputs, mean_loss, held_out.targets, decided, outputs[rows]))
        )
    return outputs, {name: mean_or_none([one[name] for one in figures]) for name in names}


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is missing."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def out_of_fold_table(data: TrainData, head: Head, fold_of: np.ndarray, outputs: np.ndarray) -> pa.Table:
    """Outputs of :func:`out_of_fold` with source, row, fold, label and prediction of each training row.

    Rows that no network held out have no prediction.
    """
    if data.train.source_rows is None:
        raise HeadError("the training rows were read without their places in the source")
    targets = data.train.targets
    truth = np.eye(data.outputs, dtype=np.float32)[targets] if data.task is SINGLE_LABEL else targets
    columns = {
        "source": data.train.source_rows["source"],
        "row": data.train.source_rows["row"],
        "fold": pa.array(fold_of),
        "label": head.decided(truth) if data.task.has_classes else pa.array(targets),
    }
    found = {"prediction": head.decided(outputs)}
    if data.task.has_classes:
        found |= {f"proba_{label}": pa.array(outputs[:, i]) for i, label in enumerate(data.labels.values)}
    is_known = pa.array(~np.isnan(outputs).any(1))
    for name, values in found.items():
        columns[name] = pc.if_else(is_known, values, pa.scalar(None, values.type))  # type: ignore[attr-defined]
    return pa.table(columns)
