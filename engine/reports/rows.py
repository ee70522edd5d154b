"""Rows of one label each, as a report shows them."""

from dataclasses import dataclass

import numpy as np

from .curves import Calibration, calibration


@dataclass(frozen=True)
class Rows:
    """Rows with a label and a prediction of one label each."""

    labels: list[str]
    truth: np.ndarray
    """Class numbers, int64 [rows], and so are the predictions."""
    predicted: np.ndarray
    probabilities: np.ndarray | None
    """float32 [rows, labels]"""
    texts: list[str] | None
    places: list[str]
    """Where each row stands."""
    of: int
    """Rows that there are; more than those here where they were sampled."""
    tokens: np.ndarray | None = None
    """Tokens of each text before it was cut, int32 [rows]."""
    truncated: np.ndarray | None = None
    """Whether each text was cut, bool [rows]."""
    features: np.ndarray | None = None
    """What the head takes, float32 [n, width], of the first n rows."""

    @property
    def calibration(self) -> Calibration | None:
        """Of the predicted labels; None where there are no probabilities, or no rows."""
        if self.probabilities is None or not len(self.truth):
            return None
        sure = self.probabilities[np.arange(len(self.truth)), self.predicted].astype(np.float64)
        return calibration(sure, self.truth == self.predicted)
