"""Where in a row, and in memory, the numbers are that are wanted of it."""

import math
from typing import Any

import numpy as np

from .errors import StoreError
from .spec import FeatureSpec


def row_pieces(spec: FeatureSpec, use: FeatureSpec) -> tuple[np.ndarray, np.dtype[Any]]:
    """Where in a row of ``spec`` the features of ``use`` are.

    Returns byte offsets int64 [pieces], and the type of one piece. Of ragged rows they are those in a token's
    vector.
    """
    item, slices = spec.numpy_dtype.itemsize, spec.slices(use)
    size = spec.vector_bytes if spec.is_ragged else spec.row_bytes
    if slices == [slice(0, spec.shape[-1])]:
        return np.zeros(1, np.int64), np.dtype((np.void, size))
    width = math.gcd(*(s.stop - s.start for s in slices))
    in_vector = np.concatenate([np.arange(s.start, s.stop, width) for s in slices])
    vectors = np.arange(0, size // item, spec.shape[-1])  # of a row: one, or one for each token
    return (vectors[:, None] + in_vector).reshape(-1) * item, np.dtype((np.void, width * item))


def at_every_byte(data: Any, size: int, type: np.dtype[Any]) -> np.ndarray:
    """Overlapping values, one at every byte offset: one gather serves rows anywhere in a buffer."""
    return np.ndarray((max(0, size - type.itemsize + 1),), type, buffer=data, strides=(1,))


def rows_beyond() -> StoreError:
    """The error for rows behind a shard's last one, where memory or a file has something else."""
    return StoreError("the plan has rows that the shards have not; make it anew from the table's shards")
