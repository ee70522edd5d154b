"""Appending to a feature table, shard by shard."""

import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .shard import ShardWriter

if TYPE_CHECKING:
    from .table import FeatureTable

SHARD_BYTES = 256 << 20
COMMIT_SECONDS = 60.0  # a killed process loses this much encoding, and its open window


class TableWriter:
    """Appends rows to a feature table. Each shard becomes visible whole, or not at all.

    A shard is committed at ``SHARD_BYTES`` or ``COMMIT_SECONDS``, and at the end of the block. It is
    committed, too, when an exception ends the block: rows written are finished work, and the next run
    finds them.
    """

    def __init__(self, table: "FeatureTable"):
        self._table = table
        self._shard: ShardWriter | None = None
        self._started = 0.0

    def write(
        self, keys: pa.Array, n_tokens: np.ndarray, truncated: np.ndarray, features: np.ndarray
    ) -> None:
        """Append rows; see :meth:`ShardWriter.write` for shapes."""
        if not len(keys):
            return
        if self._shard is None:
            self._shard = ShardWriter(self._table.path / f"part-{uuid.uuid4()}.parquet", self._table.spec)
            self._started = time.monotonic()
        try:
            self._shard.write(keys, n_tokens, truncated, features)
        except BaseException:
            self._shard.discard()  # it may hold half of a row group
            self._shard = None
            raise
        if self._shard.bytes >= SHARD_BYTES or time.monotonic() - self._started >= COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Close and commit the open shard, if there is one."""
        if self._shard is None:
            return
        shard, self._shard = self._shard, None
        try:
            shard.close()
        except BaseException:
            shard.discard()
            raise
        self._table.commit(shard.path, shard.rows)

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()
