"""Rows to train on from arrays in memory, in place of a source and a feature set."""

import numpy as np

from ...store import LabelError
from ...store.arrays import ArrayFeatures
from ...store.imported import imported_spec
from ..heads.labels import Labels, listing
from ..heads.tasks import Task
from .examples import Examples, TrainData
from .summary import summary_of

ARRAYS = "arrays"
"""What stands for the model of features that came as an array."""


def array_data(
    features: np.ndarray, targets: np.ndarray, task: Task, labels: Labels, held_out: np.ndarray | None = None
) -> TrainData:
    """Rows of arrays to train and to validate on.

    ``features`` are float32 [rows, width], and ``targets`` as :func:`engine.heads.targets.read_targets` gives
    them. The rows that are ``held_out``, bool [rows], are validated on, and not trained on; without them the
    training rows are validated on themselves. Raises LabelError where a class has no training row left.
    """
    spec = imported_spec(ARRAYS, features.shape[1])

    def examples(name: str, rows: np.ndarray | None) -> Examples:
        values, wanted = (features, targets) if rows is None else (features[rows], targets[rows])
        return Examples(ArrayFeatures(values, spec), wanted, summary_of(wanted, task, labels, name))

    if held_out is None:
        train = examples("train", None)
        valid = train
    else:
        train, valid = examples("train", ~held_out), examples("valid", held_out)
    empty = [value for value, rows in train.summary.counts.items() if not rows]
    if empty:
        raise LabelError(
            f"no training row is left with label {listing(empty)}; give more rows, or a smaller fraction of "
            "them to validate on"
        )
    return TrainData(
        task=task,
        labels=labels,
        spec=spec,
        train=train,
        valid=valid,
        feature_set=ARRAYS,
        text_column="text",
        pair_column=None,
        record={
            "train": ARRAYS,
            "valid": ARRAYS if held_out is None else f"{valid.summary.rows} rows of them",
        },
    )


def held_out_rows(features: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether each row is held out, bool [rows]: about ``share`` of the distinct rows, chosen by seed.

    Equal rows, such as those of a text that is there twice, are on the same side. At least one row is on
    each side. ``features`` are float32 [rows, width]. Raises LabelError where all rows are equal.
    """
    random = np.random.default_rng(seed)
    bits = np.ascontiguousarray(features).view(np.uint32)
    # Rows are told apart by a number of 64 bits each: a universal hash, which is cheap beside sorting rows.
    factors = random.integers(0, 1 << 64, features.shape[1], dtype=np.uint64, endpoint=False) | np.uint64(1)
    hashes = np.zeros(len(features), np.uint64)
    for column, factor in enumerate(factors):
        hashes += bits[:, column] * factor
    distinct, groups = np.unique(hashes, return_inverse=True)
    if len(distinct) < 2:
        raise LabelError("no row can be held out to validate on: all rows are equal")
    chosen = np.zeros(len(distinct), np.bool_)
    count = min(max(1, round(share * len(distinct))), len(distinct) - 1)
    chosen[random.permutation(len(distinct))[:count]] = True
    return chosen[groups]
