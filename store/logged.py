"""The committed shards, as the log tells of them."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from deltalake import DeltaTable


class LoggedShard(NamedTuple):
    """What a table's log says of a shard."""

    path: str
    bytes: int
    rows: int | None
    """None where another tool wrote the shard, and did not say."""


def logged_shards(delta: DeltaTable, folder: Path) -> list[LoggedShard]:
    """The shards of a table's version, sorted by path; ``folder`` is what the log's paths are relative to."""
    columns = ("path", "size_bytes", "num_records")
    actions = delta.get_add_actions(flatten=True)
    names, *said = (_values(actions, column) for column in columns)
    paths = [os.path.join(folder, name) for name in names]
    return sorted(map(LoggedShard, paths, *said))


def rows_of(shard: LoggedShard) -> int:
    """Rows of a shard, from its own footer where the log does not say."""
    if shard.rows is not None:
        return shard.rows
    from .shard_file import opened, read_footer  # which loads pyarrow

    with opened(shard.path) as descriptor:
        return read_footer(shard.path, descriptor).num_rows


def _values(actions: Any, column: str) -> list[Any]:
    if column not in actions.schema.names:  # no shard has this statistic
        return [None] * actions.num_rows
    return actions.column(column).to_pylist()
