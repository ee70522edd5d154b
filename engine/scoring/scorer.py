"""A head at work: from ids of rows to the columns that it adds."""

import os

import numpy as np
import pyarrow as pa

from ...store.stage import Stage
from .added import Added
from .row_features import RowFeatures
from .tables import Group

_THREADS = 2  # that score beside one that reads and one that writes
_CACHE_BYTES = 4 << 20  # of features gathered at a time


class Scorer:
    """A head with its columns, and where its features are."""

    def __init__(self, added: Added, group: Group, stage: Stage):
        self.added, self.group = added, group
        self._rows = RowFeatures(added.head, group, stage)

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
        outputs = self._outputs(ids[usable])
        decided = self.added.decide(outputs)
        columns = self.added.columns(outputs, decided)
        if not usable.all():
            columns = [_spread(one, usable) for one in columns]
        return columns, len(outputs), self.added.counts(decided)

    def _outputs(self, ids: np.ndarray) -> np.ndarray:
        """The head's outputs float32 [rows, outputs], from as many features at a time as a cache holds."""
        head = self.added.head
        blocks = max(1, _CACHE_BYTES // (head.block_rows * self.group.spec.row_bytes))
        outputs = np.empty((len(ids), head.outputs_count), np.float32)
        for start in range(0, len(ids), blocks * head.block_rows):
            part = slice(start, start + blocks * head.block_rows)
            outputs[part] = self._rows.outputs(ids[part])
        return outputs


def _spread(values: pa.Array, usable: np.ndarray) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    return values.take(pa.array(np.cumsum(usable) - 1, mask=~usable))
