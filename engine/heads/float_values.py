"""Stored features as float32, in blocks that stay in a processor's cache."""

import math
from collections.abc import Iterator

import numpy as np

from ...store import HeadError

_BLOCK_BYTES = 768 << 10  # of float32
_SIGN_AND_MAGNITUDE = np.array(0x8FFFE000, np.uint32).view(np.int32)[()]
_EXPONENT_OFFSET = np.float32(2.0**112)  # the exponent of float32 begins 112 below that of float16
_POSITIVE_INFINITY, _NEGATIVE_INFINITY = 0x7C00, 0xFC00


def float_blocks(features: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks float32 [some, *shape] of features [rows, *shape], in order; each is gone with the next one.

    Raises HeadError for float16 features that are not finite.
    """
    shape = features.shape[1:]
    rows = max(1, _BLOCK_BYTES // (4 * math.prod(shape)))
    room = np.empty((min(rows, len(features)), *shape), np.int32)
    for start in range(0, len(features), rows):
        block = features[start : start + rows]
        if block.dtype == np.float16:
            yield _widened(block, room[: len(block)])
        else:
            yield block.astype(np.float32, copy=False)


def _widened(block: np.ndarray, room: np.ndarray) -> np.ndarray:
    """float16 to float32 by moving bits: NumPy's own cast takes four times as long, a number at a time."""
    # Infinities and NaN have the largest exponent, which the shift below would take for a number's.
    if block.view(np.int16).max() >= _POSITIVE_INFINITY or block.view(np.uint16).max() >= _NEGATIVE_INFINITY:
        raise HeadError("the features hold a value that is not finite; encode their texts again")
    np.copyto(room, block.view(np.int16))
    np.left_shift(room, 13, out=room)
    np.bitwise_and(room, _SIGN_AND_MAGNITUDE, out=room)
    values = room.view(np.float32)
    return np.multiply(values, _EXPONENT_OFFSET, out=values)
