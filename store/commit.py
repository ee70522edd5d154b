"""One commit to a table's log, which is there once however its answer fares."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deltalake import CommitProperties
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from .errors import StoreError
from .key_bounds import Bounds
from .locks import commit_file
from .log_folder import delta_schema, first_line
from .places import retried

if TYPE_CHECKING:
    from .logged import LoggedShard
    from .table import FeatureTable

COMMIT_KEY = "enc.commit"


class Added(NamedTuple):
    """A finished shard, to be taken into a table."""

    path: Path
    rows: int
    bounds: Bounds | None = None
    """The least and the greatest of its keys, if they are known."""


class Commit:
    """Files to be taken into a table and out of it at once.

    A commit has a mark of its own, by which it is found where its answer was lost. Commits that only add
    never conflict, whoever else adds.
    """

    def __init__(
        self,
        table: "FeatureTable",
        actions: Sequence[AddAction | RemoveAction],
        removed: "Sequence[LoggedShard]",
    ):
        self._table, self._actions, self._removed = table, list(actions), removed
        self._mark, self._since = uuid.uuid4().hex, table.version
        # Delta does not tell a compaction from no change: who takes shards out looks whether they are there.
        self._properties = CommitProperties(
            custom_metadata={COMMIT_KEY: self._mark}, max_commit_retries=0 if removed else None
        )

    def write(self) -> None:
        """Write it. Raises StoreError where that fails, or another process has removed one of the shards."""
        table = self._table
        try:
            retried(self._write, table.path.absolute())
        except (DeltaError, OSError) as error:
            raise StoreError(f"cannot commit to feature set '{table.path}': {first_line(error)}") from error

    def _write(self) -> None:
        table = self._table
        while True:
            before = table.version
            try:
                table.delta.create_write_transaction(
                    self._actions,
                    mode="append",
                    schema=delta_schema(table.spec),
                    commit_properties=self._properties,
                )
                return
            except (DeltaError, OSError):
                table.update()
                if self._is_there():  # its answer was lost
                    return
                self._require_shards()
                if not self._removed or table.version == before:
                    raise

    def _require_shards(self) -> None:
        gone = {shard.path for shard in self._removed} - {shard.path for shard in self._table.logged}
        if gone:
            raise StoreError(
                f"cannot commit to feature set '{self._table.path}': another process has removed {len(gone)} "
                "of the shards that were to be replaced; run this again"
            )

    def _is_there(self) -> bool:
        """Whether one of the versions since then is this commit."""
        for version in range(self._since + 1, self._table.version + 1):
            try:
                if self._mark.encode() in commit_file(self._table.path, version).read_bytes():
                    return True
            except FileNotFoundError:  # another process has just cleaned the log
                continue
        return False
