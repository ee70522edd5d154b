"""Where in a row, in memory and in a file, the numbers are that are wanted of it."""

import math
from io import FileIO
from typing import Any

import numpy as np

from .errors import StoreError
from .spec import FeatureSpec

READ_BYTES = 1 << 20  # at a time: large enough for any disk, small enough for the processor's cache
GAP_BYTES = 64 << 10  # a disk reads this much in less time than it takes to begin anew somewhere else


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


def read_pieces(file: FileIO, offsets: np.ndarray, out: np.ndarray) -> bool:
    """Read what lies at byte offsets int64 [n] of a file into ``out`` [n], whose type tells the size of each.

    What ascends is read in as few and as large reads as ``READ_BYTES`` and ``GAP_BYTES`` allow. Returns
    whether the file had it all.
    """
    width, steps = out.dtype.itemsize, np.diff(offsets)
    breaks = (np.abs(steps) > GAP_BYTES + width) | (np.diff(offsets // READ_BYTES) != 0)
    begins = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    ends = np.append(begins[1:], len(offsets))
    low, high = np.minimum.reduceat(offsets, begins), np.maximum.reduceat(offsets, begins) + width
    skips = np.concatenate([[0], np.cumsum(steps != width)])
    gapless = skips[begins] == skips[ends - 1]
    for begin, end, start, stop, whole in np.stack([begins, ends, low, high, gapless], axis=1).tolist():
        target = out[begin:end] if whole else np.empty(stop - start, np.uint8)
        file.seek(start)
        if file.readinto(target.view(np.uint8).data) < stop - start:
            return False
        if not whole:
            out[begin:end] = at_every_byte(target, stop - start, out.dtype)[offsets[begin:end] - start]
    return True


def rows_beyond() -> StoreError:
    """The error for rows behind a shard's last one, where memory or a file has something else."""
    return StoreError("the plan has rows that the shards have not; make it anew from the table's shards")
