"""Small shards into large ones, other tools' layout into the mapped one, and one row for each key."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import writer
from .by_key import batches_by_key, disk_to_use, rows_by_key
from .duck import folder_of, workspace
from .logged import LoggedShard
from .progress import tell
from .rewrite import find_doubles, maintained, replace_shards
from .shard import Shard
from .shard_file import is_finished_name
from .table import FeatureTable


@dataclass(frozen=True)
class CompactSummary:
    """What :func:`compact` did."""

    feature_set: str
    shards_before: int
    shards_after: int
    rows: int
    doubles: int
    """Rows that were left out, because an earlier row has their key."""
    rewritten: int
    """Shards whose rows are now in other shards."""
    version: int


def compact(
    table: FeatureTable | str | Path, *, by_key: bool = False, disk_bytes: int | None = None
) -> CompactSummary:
    """Write small shards together, and others anew that have doubles or another tool's layout.

    The features that readers get stay the same. A commit is made for each large shard that is filled, so
    that a killed run loses only the last one. What the old shards take on the disk is free after a vacuum.

    With ``by_key`` rows are sorted, so that shards have no key in common, and readers of some keys leave out
    the others. This takes up ``disk_bytes`` of the temporary folder (half of what is free unless given), and
    a commit is made for so many bytes of shards. Raises DamagedShard for a shard that cannot be read.
    """
    table = FeatureTable.of(table)
    with maintained(table.path):
        logged = table.refresh().logged
        before, rewritten = len(logged), 0
        doubles = find_doubles(table.listed_shards)
        if by_key:
            rewritten = _sort(table, logged, doubles.rows, disk_bytes or disk_to_use())
        for batch in () if by_key else _batches(table, logged, doubles.rows):
            tell("compacting", rewritten, before)
            replace_shards(table, batch, doubles.rows, rows_change=False)
            rewritten += len(batch)
        tell("compacting", before, before)
        return CompactSummary(
            feature_set=table.name,
            shards_before=before,
            shards_after=len(table.logged),
            rows=table.rows,
            doubles=doubles.count,
            rewritten=rewritten,
            version=table.version,
        )


def _sort(
    table: FeatureTable,
    logged: Sequence[LoggedShard],
    doubles: Mapping[str, np.ndarray],
    disk_bytes: int,
) -> int:
    """Write shards anew by key; returns how many."""
    must = {shard.path for shard in logged if shard.path in doubles or not _is_mapped(shard, table)}
    rewritten = 0
    for batch in batches_by_key(table, logged, must, disk_bytes):
        with workspace() as con:
            rows = rows_by_key(con, table, batch, doubles, folder_of(con))
            replace_shards(table, batch, doubles, rows_change=False, in_order=rows)
        rewritten += len(batch)
        tell("compacting", rewritten, len(logged))
    return rewritten


def _batches(
    table: FeatureTable, logged: Sequence[LoggedShard], doubles: Mapping[str, np.ndarray]
) -> Iterator[list[LoggedShard]]:
    """Shards to be written anew together, each batch about a large shard's worth."""
    batch: list[LoggedShard] = []
    size, must = 0, False
    for shard in logged:
        has_to = shard.path in doubles or not _is_mapped(shard, table)
        if not has_to and shard.bytes >= writer.SHARD_BYTES // 2:
            continue
        if batch and size + shard.bytes > writer.SHARD_BYTES:
            if must or len(batch) > 1:
                yield batch
            batch, size, must = [], 0, False
        batch.append(shard)
        size += shard.bytes
        must = must or has_to
    if must or len(batch) > 1:
        yield batch


def _is_mapped(shard: LoggedShard, table: FeatureTable) -> bool:
    return is_finished_name(Path(shard.path).name) or Shard(shard.path, table.spec).plain
