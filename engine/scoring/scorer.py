"""A head at work: from ids of rows to the columns that it adds."""

import os

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec
from ..heads.head import Head
from .added import Added
from .row_features import RowOutputs

_THREADS = 2  # that score beside one that reads and one that writes
_CACHE_BYTES = 4 << 20  # of features gathered at a time


class Scorer:
    """A head with its columns, and what it gives for the rows."""

    def __init__(self, added: Added, rows: RowOutputs, spec: FeatureSpec):
        """``spec`` is the setting of the stored features."""
        self.added, self.spec = added, spec
        self._rows = rows

    @property
    def threads(self) -> int:
        """How many threads may score at the same time: torch and DuckDB have threads of their own."""
        head = self.added.head
        is_simple = head.is_dense and head.combination is None and head.words is None
        return min(_THREADS, os.cpu_count() or 1) if is_simple else 1

    def score(self, ids: np.ndarray) -> tuple[list[pa.Array], int, np.ndarray]:
        """The added columns of the rows with these ids, null where there are no features; how many rows have
        some; and rows by predicted label, int64 [labels].
        """
        usable = self._rows.are_known(ids)
        outputs = outputs_of(self.added.head, self._rows, self.spec, ids[usable])
        decided = self.added.decide(outputs)
        columns = self.added.columns(outputs, decided)
        if not usable.all():
            columns = [_spread(one, usable) for one in columns]
        return columns, len(outputs), self.added.counts(decided)


def outputs_of(head: Head, rows: RowOutputs, spec: FeatureSpec, ids: np.ndarray) -> np.ndarray:
    """A head's outputs float32 [n, outputs] of rows of a batch with features, from as many features at a time
    as a cache holds; ``spec`` is the setting of the stored ones.
    """
    blocks = max(1, _CACHE_BYTES // (head.block_rows * spec.row_bytes))
    outputs = np.empty((len(ids), head.outputs_count), np.float32)
    for start in range(0, len(ids), blocks * head.block_rows):
        part = slice(start, start + blocks * head.block_rows)
        outputs[part] = rows.outputs(ids[part])
    return outputs


def _spread(values: pa.Array, usable: np.ndarray) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    return values.take(pa.array(np.cumsum(usable) - 1, mask=~usable))
