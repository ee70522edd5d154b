"""Token features of some texts in float32, without the padding that all of them have."""

from dataclasses import dataclass

import numpy as np

from ...store import FeatureSpec


@dataclass(frozen=True)
class TokenBlock:
    """Vectors of the tokens of some texts, padded with zeros to the longest of them."""

    vectors: np.ndarray
    """float32 [rows, tokens, layers, hidden]"""
    is_token: np.ndarray
    """bool [rows, tokens]"""

    @classmethod
    def of(cls, spec: FeatureSpec, features: np.ndarray) -> "TokenBlock":
        """Of token features [rows, tokens, layers * hidden], whose padding is zeros on either side."""
        known = _any_bits(features)
        used = np.flatnonzero(known.any(0))
        cut = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        vectors = features[:, cut].astype(np.float32)
        return cls(vectors.reshape(*vectors.shape[:2], len(spec.layers), spec.hidden_size), known[:, cut])

    def pooled(self) -> np.ndarray:
        """Mean, maximum and first token of each layer, [rows, layers, 3, hidden]; zeros without tokens."""
        counts = np.maximum(self.is_token.sum(1), 1)[:, None, None]
        below = np.where(self.is_token, np.float32(0), np.float32(-np.inf))
        highest = (self.vectors + below[:, :, None, None]).max(1)
        first = self.vectors[np.arange(len(self.vectors)), self.is_token.argmax(1)]
        mean = self.vectors.sum(1) / counts
        return np.stack([mean, np.where(np.isfinite(highest), highest, 0), first], axis=2, dtype=np.float32)


def _any_bits(features: np.ndarray) -> np.ndarray:
    """Whether any number along the last axis is not 0, bool [rows, tokens]; many numbers at a time."""
    whole = np.ascontiguousarray(features)
    is_even = whole.shape[-1] * whole.itemsize % 8 == 0
    return np.any(whole.view(np.uint64) if is_even else whole != 0, axis=-1)
