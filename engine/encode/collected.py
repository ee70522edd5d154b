"""From features of sequences to features of texts."""

import numpy as np

from ...store import FeatureSpec
from ...store.steps import NORMALIZE
from ...store.token_rows import TokenRows, padded_mask, spans
from .tokens import Tokens


class CollectedFeatures:
    """Puts features of sequences in their texts' places, and pools the windows of a text.

    ``done`` is bool [texts]: whether a text's features are there.
    """

    def __init__(self, tokens: Tokens, spec: FeatureSpec):
        self._tokens, self._spec = tokens, spec
        self._windowed = len(tokens.lengths) > len(tokens)
        self._parts: list[tuple[np.ndarray, TokenRows]] = []  # of ragged rows, by batch
        self._values = np.empty((0 if spec.is_ragged else len(tokens), *spec.shape), spec.numpy_dtype)
        self.done = np.zeros(len(tokens), bool)
        if self._windowed:
            self._left = np.bincount(tokens.owners, minlength=len(tokens))  # windows still to come
            self._sums = np.zeros(self._values.shape, np.float32)
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
        if self._spec.is_ragged:
            lengths = self._tokens.lengths[sequences].astype(np.int32)
            is_token = padded_mask(lengths, values.shape[1])
            self._parts.append((texts, TokenRows(values[is_token], lengths)))
            self.done[texts] = True
            return
        if not self._windowed:
            self._values[texts] = values
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
        self._values[finished] = pooled
        self.done[finished] = True

    @property
    def values(self) -> np.ndarray:
        """Features [texts, *spec.shape] in the stored dtype, true where :attr:`done` is."""
        if not self._spec.is_ragged:
            return self._values
        found = np.zeros((len(self._tokens), *self._spec.shape), self._spec.numpy_dtype)
        for texts, rows in self._parts:
            found[texts] = rows.padded(self._spec.shape[0])
        return found

    def stored(self, texts: np.ndarray) -> np.ndarray | TokenRows:
        """Features of texts that are done, in order, as a table's writer takes them; ``texts`` is a mask."""
        if not self._spec.is_ragged:
            return self._values[texts]
        nothing = TokenRows(np.empty((0, self._spec.shape[1]), self._spec.numpy_dtype), np.empty(0, np.int32))
        rows = TokenRows.concatenate([nothing, *(rows for _, rows in self._parts)])
        owners = np.concatenate([np.empty(0, np.int64), *(owners for owners, _ in self._parts)])
        order = np.argsort(owners)
        order = order[texts[owners[order]]]
        starts = np.cumsum(rows.lengths, dtype=np.int64) - rows.lengths
        lengths = rows.lengths[order]
        return TokenRows(rows.vectors[spans(starts[order], lengths)], lengths)
