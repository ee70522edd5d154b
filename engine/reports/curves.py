"""Figures of probabilities, calibration and precision by recall; and the principal axes of features."""

from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """How often predictions are right, by how sure they are."""

    confidence: np.ndarray
    """Mean probability of the predicted labels in each bin that has rows, float64 [bins]."""
    accuracy: np.ndarray
    rows: np.ndarray
    error: float
    """Expected calibration error: the mean distance of the two, weighted by rows (Guo et al., 2017)."""


def calibration(confidence: np.ndarray, is_right: np.ndarray) -> Calibration:
    """In bins of equal width, from each row's probability of its prediction, and whether that is right."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    held = rows > 0
    mean = np.bincount(bins, confidence, BINS)[held] / rows[held]
    accuracy = np.bincount(bins, is_right, BINS)[held] / rows[held]
    share = rows[held] / max(1, len(bins))
    return Calibration(mean, accuracy, rows[held], float((share * np.abs(mean - accuracy)).sum()))


def precision_recall(is_true: np.ndarray, scores: np.ndarray, most: int = 60) -> list[tuple[float, float]]:
    """Points (recall, precision) by falling threshold, at most ``most``; none without true rows.

    Rows of one score are on one side of a threshold.
    """
    total = int(is_true.sum())
    if not total:
        return []
    order = np.argsort(-scores, kind="stable")
    right, sorted_scores = np.cumsum(is_true[order]), scores[order]
    ends = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    recall, precision = right[ends] / total, right[ends] / (ends + 1)
    if len(ends) > most:
        places = np.unique(np.linspace(0, len(ends) - 1, most).astype(int))
        recall, precision = recall[places], precision[places]
    return list(zip(recall.tolist(), precision.tolist(), strict=True))


def principal_axes(features: np.ndarray, steps: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Where rows of features [rows, width] lie on their two principal axes, float32 [rows, 2], and the share
    of the variance on each.

    By subspace iteration from a fixed start (Halko et al., 2011), which takes milliseconds at any width.
    """
    centred = features - features.mean(0)
    total = float((centred.astype(np.float64) ** 2).sum())
    axes = np.random.default_rng(0).standard_normal((features.shape[1], 8)).astype(np.float32)
    for _ in range(steps):
        axes = np.linalg.qr(centred.T @ (centred @ axes))[0]
    found, sizes, _ = np.linalg.svd(centred @ axes, full_matrices=False)
    points = (found * sizes)[:, :2]
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    largest = np.abs(points).argmax(0)
    points = points * np.where(points[largest, [0, 1]] < 0, -1, 1)  # else a sign would be chance
    shares = np.pad(sizes, (0, 2))[:2].astype(np.float64) ** 2
    return points.astype(np.float32), shares / total if total else np.zeros(2)
