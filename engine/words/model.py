"""A linear model on word features."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...store import HeadError
from .features import WordFeatures, fit_features
from .settings import WordSettings
from .texts import Texts

if TYPE_CHECKING:
    from .sparse_lbfgs import Goal

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""What is tried as scikit-learn's C, from the strongest regularisation down."""


@dataclass(frozen=True)
class WordModel:
    """A linear model on word features."""

    features: WordFeatures
    weights: np.ndarray
    """float32 [outputs, width]"""
    bias: np.ndarray
    """float32 [outputs]"""

    def logits(self, texts: Texts) -> np.ndarray:
        """Logits float32 [rows, outputs]. Raises HeadError for pairs in place of texts, or the reverse."""
        if (texts.second is not None) != self.features.is_of_pairs:
            wanted = "pairs of texts" if self.features.is_of_pairs else "single texts"
            raise HeadError(f"the head's words are those of {wanted}; give it {wanted}")
        if not len(texts):
            return np.empty((0, len(self.bias)), np.float32)
        # Each row's products are summed by themselves: a row's logits do not depend on its batch.
        return (self.features.matrix(texts) @ self._columns + self.bias).astype(np.float32)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights [width, outputs], as products with sparse features read them."""
        return np.ascontiguousarray(self.weights.T)


@dataclass(frozen=True)
class FittedWords:
    """A linear model on the words of training rows, and what it makes of rows that it did not see."""

    model: WordModel
    out_of_fold: np.ndarray
    """Logits float32 [rows, outputs] of each training row, by models that were fitted without its fold."""
    strength: float
    """The one of STRENGTHS that was chosen."""


def fit_words(texts: Texts, goal: "Goal", settings: WordSettings, fold_of: np.ndarray) -> FittedWords:
    """Fit a linear model to the words of texts.

    The strength of its regularisation is the one whose models have the least loss on the rows that they
    did not see; ``fold_of`` is each row's fold, int64 [rows]. The n-grams and how rare they are come from
    all training rows, held out or not: that tells a model nothing of their labels.
    """
    import torch

    from .sparse_lbfgs import minimum, outputs_of

    features, matrix = fit_features(texts, settings, goal.outputs)
    folds = [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in np.unique(fold_of)
    ]
    held_in = [(matrix[seen], goal.subset(seen), matrix[unseen]) for seen, unseen in folds]
    reached: list[np.ndarray | None] = [None] * len(folds)
    best_loss, best_strength, best = np.inf, STRENGTHS[0], np.empty((0, goal.outputs), np.float32)
    for strength in STRENGTHS:
        found = np.empty((len(texts), goal.outputs), np.float32)
        for number, (seen, part, unseen) in enumerate(held_in):
            weights = minimum(seen, part, _l2(strength, len(part.targets)), reached[number])
            reached[number], found[folds[number][1]] = weights, outputs_of(unseen, weights, goal)
        loss = float(goal.loss(torch.from_numpy(found), torch.from_numpy(goal.targets)).mean())
        if not loss < best_loss:
            break  # weaker ones are worse still
        best_loss, best_strength, best = loss, strength, found
    weights, bias = goal.plain(minimum(matrix, goal, _l2(best_strength, len(texts))))
    return FittedWords(WordModel(features, weights, bias), best, best_strength)


def _l2(strength: float, rows: int) -> float:
    return 1 / (strength * rows)
