"""What two pooled vectors have to do with each other: their difference, product and cosines."""

import numpy as np

from ...store import FeatureSpec
from .token_block import TokenBlock

TOKEN_POOLINGS = ("mean", "max", "cls")
"""What is made of token features where pooled ones are wanted."""


def parts_of(spec: FeatureSpec) -> tuple[int, int]:
    """How many vectors :func:`pooled_parts` makes of a row's features, and their width."""
    if len(spec.shape) == 2:
        return len(TOKEN_POOLINGS) * len(spec.layers), spec.hidden_size
    return (1, spec.shape[0]) if spec.after_pooling else (len(spec.parts), spec.hidden_size)


def pooled_parts(spec: FeatureSpec, features: np.ndarray | TokenBlock) -> np.ndarray:
    """Pooled vectors float32 [rows, parts, width] of features [rows, *spec.shape]: one of each layer and
    pooling.

    Of token features they are the means, maxima and first tokens of each layer.
    """
    found = features.pooled() if isinstance(features, TokenBlock) else features.astype(np.float32)
    return found.reshape(len(found), *parts_of(spec))


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances of the values of both vectors, [rows, parts * width]."""
    return np.abs(first - second).reshape(len(first), -1)


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Products of the values of both vectors, [rows, parts * width]."""
    return (first * second).reshape(len(first), -1)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of both vectors of each part, [rows, parts]; 0 where a vector is all zeros."""
    products = np.einsum("rpw,rpw->rp", first, second)
    sizes = np.linalg.norm(first, axis=2) * np.linalg.norm(second, axis=2)
    return np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)
