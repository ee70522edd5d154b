"""From features of sequences to features of texts."""

import numpy as np

from ...store import FeatureSpec
from ...store.steps import NORMALIZE
from .tokens import Tokens


class CollectedFeatures:
    """Puts features of sequences in their texts' places, and pools the windows of a text.

    ``values`` are [texts, *spec.shape] in the stored dtype, and true where ``done`` (bool [texts]) is.
    """

    def __init__(self, tokens: Tokens, spec: FeatureSpec):
        self._tokens, self._spec = tokens, spec
        self._windowed = len(tokens.lengths) > len(tokens)
        self.values = np.empty((len(tokens), *spec.shape), spec.numpy_dtype)
        self.done = np.zeros(len(tokens), bool)
        if self._windowed:
            self._left = np.bincount(tokens.owners, minlength=len(tokens))  # windows still to come
            self._sums = np.zeros(self.values.shape, np.float32)
            self._weights = np.bincount(tokens.owners, tokens.lengths, minlength=len(tokens)).astype(
                np.float32
            )
            self._maximum = np.repeat([pooling == "max" for _, pooling in spec.parts], spec.hidden_size)
            if spec.after_pooling:  # its vectors are averaged as wholes, whatever they were pooled by
                self._maximum = np.zeros(spec.shape[-1], bool)
            self._sums[:, self._maximum] = -np.inf

    def put(self, sequences: np.ndarray, values: np.ndarray) -> None:
        """Take the features [n, *spec.shape] of some sequences."""
        texts = self._tokens.owners[sequences]
        if not self._windowed:
            self.values[texts] = values
            self.done[texts] = True
            return
        # A window counts by its tokens, so that the mean over windows is near the mean over the text.
        share = (self._tokens.lengths[sequences] / self._weights[texts])[:, None]
        mean, maximum = ~self._maximum, self._maximum
        if mean.any():
            np.add.at(self._sums, (texts[:, None], np.flatnonzero(mean)), values[:, mean] * share)
        if maximum.any():
            np.maximum.at(
                self._sums, (texts[:, None], np.flatnonzero(maximum)), values[:, maximum].astype(np.float32)
            )
        np.subtract.at(self._left, texts, 1)
        finished = np.unique(texts[self._left[texts] == 0])
        pooled = self._sums[finished]
        if self._spec.after_pooling[-1:] == (NORMALIZE,):
            pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        self.values[finished] = pooled
        self.done[finished] = True
