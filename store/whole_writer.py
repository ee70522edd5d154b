"""Appending to a feature table in one commit: all rows, or none."""

from types import TracebackType

import numpy as np
import pyarrow as pa

from . import writer
from .places import folder_of
from .table import FeatureTable
from .writer import NewShard, clear_left_shards, commit_shards

MOST_SHARDS = 256  # each is a file that stays open, for its lock, until the commit


class WholeWriter:
    """Appends rows to a feature table, and commits them all at the end of the block, or none where an
    exception ends it.
    """

    def __init__(self, table: FeatureTable, rows: int):
        """``rows`` is the number of rows that will be written."""
        self._table = table
        self._shard_bytes = max(writer.SHARD_BYTES, rows * table.spec.row_bytes // MOST_SHARDS)
        self._shards: list[NewShard] = []
        self._is_open = False

    def write(
        self, keys: pa.Array, n_tokens: np.ndarray, truncated: np.ndarray, features: np.ndarray
    ) -> None:
        """Append rows; see :meth:`store.shard_writer.ShardWriter.write` for shapes."""
        if not len(keys):
            return
        if not self._is_open:
            self._shards.append(NewShard(self._table))
            self._is_open = True
        shard = self._shards[-1]
        shard.write(keys, n_tokens, truncated, features)
        if shard.bytes >= self._shard_bytes:
            shard.finish()
            self._is_open = False

    def __enter__(self) -> "WholeWriter":
        clear_left_shards(folder_of(self._table.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._shards:
            commit_shards(self._table, self._shards)
            return
        for shard in self._shards:
            shard.discard()
