"""The seam at which backends differ: token ids in, features out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..store import FeatureSpec, ModelError
from .tokens import TokenBatch, Tokens, length_sorted_batches


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
    features = np.empty((len(tokens), *encoder.spec.shape), encoder.spec.numpy_dtype)
    batches = list(length_sorted_batches(tokens.lengths, encoder.tokens_per_batch))
    for rows, values in zip(batches, encoder.encode(tokens.batch(rows) for rows in batches), strict=True):
        features[rows] = values
    return features


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
