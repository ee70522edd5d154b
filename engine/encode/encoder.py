"""The seam at which backends differ: token ids in, features out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ...store import FeatureSpec, ModelError
from .tokens import TokenBatch, Tokens


class Encoder(Protocol):
    """Texts to features under one setting."""

    spec: FeatureSpec
    layer_count: int
    """Layers of the whole model."""

    @property
    def tokens_per_batch(self) -> int:
        """The batch size, in tokens with padding, that suits backend and device."""
        ...

    @property
    def title(self) -> str:
        """Backend, precision and device, for people."""
        ...

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Token ids of texts or pairs, truncated to ``spec.max_length``. Called from a second thread."""
        ...

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Get ready for about ``texts`` texts like those of the sample; called before the first batch."""
        ...

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features [rows, *spec.shape] in the stored dtype for each batch, in order.

        The next batches may be taken before the features of the first are given.
        """
        ...


def encode_texts(encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
    """Features [texts, *spec.shape] of texts or pairs in memory, in the stored dtype, without a store."""
    tokens = encoder.tokenize(texts, pairs)
    collected = TextFeatures(tokens, encoder.spec)
    batches = tokens.batches(encoder.tokens_per_batch)
    for sequences, values in zip(batches, encoder.encode(tokens.batch(b) for b in batches), strict=True):
        collected.put(sequences, values)
    return collected.values


class TextFeatures:
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
        self.values[finished] = self._sums[finished]
        self.done[finished] = True


def half_of(batch: TokenBatch, device: object, error: Exception) -> int:
    """Tokens a batch to go on with where this one did not fit the memory. Raises ModelError where it was a single text."""
    rows, length = batch.input_ids.shape
    if rows == 1:
        raise ModelError(
            f"a single text of {length} tokens does not fit the memory of {device}; lower --max-length"
        ) from error
    return max(length, rows * length // 2)


def stored(values: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Computed features as they are stored: in the setting's dtype, token features padded to max_length.

    Raises ModelError for a value that does not fit.
    """
    with np.errstate(over="ignore"):
        values = values.astype(spec.numpy_dtype, copy=False)
    if not np.isfinite(values).all():
        raise ModelError(f"features of model '{spec.model}' do not fit {spec.dtype}; pass --dtype float32")
    if spec.pooling == ("tokens",):
        values = np.pad(values, ((0, 0), (0, spec.max_length - values.shape[1]), (0, 0)))
    return values
