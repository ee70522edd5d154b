"""Appending to a feature table, shard by shard."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from .commit import Added
from .errors import StoreError
from .locks import Lock, exclusive_lock, has_no_locks
from .pages import crc32, footer_of
from .places import folder_of, publish, withdraw
from .shard_file import finished_name, is_open_name, open_name, opened
from .shard_writer import ShardWriter
from .shielded import shielded
from .token_rows import TokenRows

if TYPE_CHECKING:
    from .table import FeatureTable

SHARD_BYTES = 256 << 20
SHARDS_PER_COMMIT = 4  # full ones: a version costs every reader a file of the log
COMMIT_SECONDS = 300.0  # a killed process loses so much encoding at most, and its open window


class NewShard(ShardWriter):
    """A shard of a table that is being written: hidden, and locked, so that nobody takes it for a left one.

    :meth:`finish` gives it the name that it is committed by. It stays locked until :meth:`release`, which is
    called after the commit.
    """

    def __init__(self, table: "FeatureTable"):
        self._place = table.path
        path = folder_of(table.path) / open_name()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._is_finished = self._is_sealed = False
        self._lock = _owner_lock(path)
        try:
            super().__init__(path, table.spec)
        except BaseException:
            path.unlink(missing_ok=True)
            self.release()
            raise

    def seal(self) -> None:
        """Write what is pending, and return when the file is safely on the disk."""
        if self._is_sealed:
            return
        self._is_sealed = True
        try:
            self.close()
        except BaseException:
            self.discard()
            raise

    def finish(self) -> None:
        """Seal the file, and move it to its name."""
        if self._is_finished:
            return
        self._is_finished = True
        self.seal()
        try:
            with opened(str(self.path)) as descriptor:
                checksum = crc32(footer_of(descriptor, str(self.path)))
            self.path = publish(self.path, finished_name(self.path.name, checksum), self._place)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        super().discard()
        with suppress(StoreError):  # a vacuum will find it
            withdraw(self.path)
        self.release()

    def release(self) -> None:
        """Let go of the lock: the shard is committed, or gone."""
        if self._lock:
            self._lock.release()


def commit_shards(table: "FeatureTable", shards: Sequence[NewShard]) -> None:
    """Finish shards and make them part of their table, all in one version."""
    try:
        for shard in shards:
            shard.finish()
        table.commit([Added(shard.path, shard.rows, shard.key_bounds) for shard in shards])
    except BaseException:
        with suppress(StoreError):  # else nobody knows whether they were committed
            committed = {logged.path for logged in table.refresh().logged}
            for shard in shards:
                if str(shard.path) not in committed:
                    shard.discard()
        raise
    finally:
        for shard in shards:
            shard.release()


def clear_left_shards(folder: Path) -> list[Path]:
    """Remove the unfinished shards that killed processes left in a table's folder; returns them."""
    cleared = []
    if not folder.is_dir():  # of the cache of an object store
        return cleared
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

    A shard is full at ``SHARD_BYTES``. Shards are committed together: when ``SHARDS_PER_COMMIT`` are full,
    when the first row that is not committed is ``commit_seconds`` old (``COMMIT_SECONDS`` unless given), and
    at the end of the block; also when an exception ends the block: rows written are finished work, and the
    next run finds them. A process that is killed loses what it has not committed.
    """

    def __init__(self, table: "FeatureTable", *, commit_seconds: float | None = None):
        self._table = table
        self._commit_seconds = COMMIT_SECONDS if commit_seconds is None else commit_seconds
        self._full: list[NewShard] = []
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
            if not self._full:
                self._started = time.monotonic()
        try:
            self._shard.write(keys, n_tokens, truncated, features)
        except BaseException:
            self._shard.discard()  # it may hold half of a row group
            self._shard = None
            raise
        if self._shard.bytes >= SHARD_BYTES:
            full, self._shard = self._shard, None
            full.seal()
            self._full.append(full)
        is_old = time.monotonic() - self._started >= self._commit_seconds
        if is_old or len(self._full) >= SHARDS_PER_COMMIT:
            self.commit()

    def commit(self) -> None:
        """Commit what was written, which an interruption would lose if it came between."""
        shielded(self._commit)

    def _commit(self) -> None:
        shards = [*self._full, *([self._shard] if self._shard else [])]
        self._full, self._shard = [], None
        if shards:
            commit_shards(self._table, shards)

    def __enter__(self) -> "TableWriter":
        clear_left_shards(folder_of(self._table.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()
