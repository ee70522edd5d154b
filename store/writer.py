"""Appending to a feature table, shard by shard."""

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .errors import StoreError
from .locks import Lock, exclusive_lock, has_no_locks
from .pages import footer_checksum
from .shard_file import finished_name, is_open_name, open_name, opened
from .shard_writer import ShardWriter
from .token_rows import TokenRows

if TYPE_CHECKING:
    from .table import FeatureTable

SHARD_BYTES = 256 << 20
COMMIT_SECONDS = 60.0  # a killed process loses this much encoding, and its open window


class NewShard(ShardWriter):
    """A shard of a table that is being written: hidden, and locked, so that nobody takes it for a left one.

    :meth:`finish` gives it the name that it is committed by. It stays locked until :meth:`release`, which is
    called after the commit.
    """

    def __init__(self, table: "FeatureTable"):
        path = table.path.absolute() / open_name()
        self._is_finished = False
        self._lock = _owner_lock(path)
        try:
            super().__init__(path, table.spec)
        except BaseException:
            path.unlink(missing_ok=True)
            self.release()
            raise

    def finish(self) -> None:
        """Write what is pending, and move the file to its name when it is safely on the disk."""
        if self._is_finished:
            return
        self._is_finished = True
        try:
            self.close()
            with opened(str(self.path)) as descriptor:
                checksum = footer_checksum(descriptor, str(self.path))
            self.path = self.path.rename(self.path.with_name(finished_name(self.path.name, checksum)))
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        super().discard()
        self.release()

    def release(self) -> None:
        """Let go of the lock: the shard is committed, or gone."""
        if self._lock:
            self._lock.release()


def commit_shard(table: "FeatureTable", shard: NewShard) -> None:
    """Finish a shard and make it part of its table."""
    shard.finish()
    try:
        table.commit([(shard.path, shard.rows)])
    except BaseException:
        with suppress(StoreError):  # else nobody knows whether it was committed
            if str(shard.path) not in {logged.path for logged in table.refresh().logged}:
                shard.discard()
        raise
    finally:
        shard.release()


def clear_left_shards(folder: Path) -> list[Path]:
    """Remove the unfinished shards that killed processes left in a table's folder; returns them."""
    cleared = []
    with os.scandir(folder) as entries:
        left = [folder / entry.name for entry in entries if is_open_name(entry.name)]
    for path in left:
        try:
            lock = exclusive_lock(path)
            if lock:
                path.unlink(missing_ok=True)
                lock.release()
                cleared.append(path)
        except OSError:  # it is gone, or it cannot be known whose it is, or nothing can be removed here
            continue
    return cleared


def _owner_lock(path: Path) -> Lock | None:
    try:
        while True:
            lock = exclusive_lock(path, create=True)
            if lock:
                return lock
            time.sleep(0.001)  # another process looks whether this new file is a left one, and removes it
    except OSError as error:
        if has_no_locks(error):
            return None
        raise


class TableWriter:
    """Appends rows to a feature table. Each shard becomes visible whole, or not at all.

    A shard is committed at ``SHARD_BYTES`` or ``COMMIT_SECONDS``, and at the end of the block. It is
    committed, too, when an exception ends the block: rows written are finished work, and the next run
    finds them.
    """

    def __init__(self, table: "FeatureTable"):
        self._table = table
        self._shard: NewShard | None = None
        self._started = 0.0

    def write(
        self,
        keys: pa.Array,
        n_tokens: np.ndarray,
        truncated: np.ndarray,
        features: np.ndarray | TokenRows,
    ) -> None:
        """Append rows; see :meth:`ShardWriter.write` for shapes."""
        if not len(keys):
            return
        if self._shard is None:
            self._shard = NewShard(self._table)
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
        commit_shard(self._table, shard)

    def __enter__(self) -> "TableWriter":
        clear_left_shards(self._table.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()
