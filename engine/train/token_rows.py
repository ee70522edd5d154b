"""Rows of tokens, and how many of them each has."""

import numpy as np

from ...store.orders import epoch_order
from ...store.token_batches import PlannedTokens
from ..heads.by_length import token_counts
from .served import Features

_BLOCK_BYTES = 16 << 20  # of float32, at a time


def counts_of_tokens(features: Features) -> np.ndarray:
    """Tokens of each row of token features, int64 [rows], at least 1."""
    if isinstance(features, PlannedTokens):
        return np.maximum(features.lengths, 1).astype(np.int64)
    blocks = features.blocks(max(1, _BLOCK_BYTES // (4 * int(np.prod(features.shape)))))
    return np.concatenate([token_counts(block) for block in blocks])


def rows_of(features: Features, positions: np.ndarray) -> np.ndarray:
    """Features of positions int64 [n]: of tokens [n, the longest or more, width], else [n, *shape]."""
    if isinstance(features, PlannedTokens):
        return features.take_padded(positions)
    return features.take(positions)


def order_of(features: Features, seed: int, epoch: int, batch_size: int) -> np.ndarray:
    """Positions [rows] in the order in which an epoch of features that are not streamed has them."""
    if isinstance(features, PlannedTokens):
        return features.epoch_order(seed, epoch, batch_size)
    return epoch_order(features.rows, seed, epoch)
