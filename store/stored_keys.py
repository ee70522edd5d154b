"""The keys of shards: of all of them, or of those in which some keys may be that are looked for."""

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import plan
from .errors import DamagedShard
from .key_bounds import of_metadata
from .key_ranges import key_words
from .listed_shards import ListedShards, Wanted, spans_of
from .locations import ROW_BITS, ROW_MASK
from .places import forget
from .shard_file import is_finished_name, opened, read_footer, reason
from .shard_writer import ROW_GROUP_ROWS

Keys = tuple[np.ndarray, np.ndarray]
"""Keys as words, uint64 [n, 4], and their numbers, int64 [n]."""
_READ_ROWS = 1 << 17


def keys_of(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[Keys]:
    """The rows of a query for keys and numbers, many at a time."""
    with con.cursor() as cursor:
        for batch in cursor.sql(sql).to_arrow_reader(_READ_ROWS):
            if batch.num_rows:
                yield key_words(batch.column(0)), batch.column(1).to_numpy()


def stored_keys(
    con: duckdb.DuckDBPyConnection, shards: Sequence[str], wanted: Wanted | None
) -> Iterator[Keys]:
    """Keys and locations of the rows of shards, but for some of those that are not wanted.

    Of listed shards, those that are read are looked at before. Raises DamagedShard.
    """
    if not shards:
        return
    if not isinstance(shards, ListedShards):
        yield from keys_of(con, plan.shard_keys_sql(shards))
        return
    chosen = np.arange(len(shards)) if wanted is None else np.flatnonzero(wanted.may_be_in(shards.spans))
    if wanted is not None and wanted.buckets * ROW_GROUP_ROWS < shards.rows:
        few = [number for number in chosen.tolist() if is_finished_name(shards[number].rpartition("/")[2])]
        for number in few:
            for words, rows in _wanted_keys(shards[number], wanted):
                yield words, rows + (number << ROW_BITS)
        chosen = np.setdiff1d(chosen, few)
    if not len(chosen):
        return
    shards.look_at(chosen.tolist())
    for words, locations in keys_of(con, plan.shard_keys_sql([shards[number] for number in chosen])):
        yield words, (chosen[locations >> ROW_BITS] << ROW_BITS) | (locations & ROW_MASK)


def _wanted_keys(path: str, wanted: Wanted) -> list[Keys]:
    """The keys of those row groups of a shard in which wanted ones may be, and their rows.

    The footer, and what is read, is compared with checksums.
    """
    try:
        return _keys_of_groups(path, wanted)
    except DamagedShard:
        if not forget(path):
            raise
        return _keys_of_groups(path, wanted)


def _keys_of_groups(path: str, wanted: Wanted) -> list[Keys]:
    with opened(path) as descriptor:
        footer = read_footer(path, descriptor)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    bounds = of_metadata(footer.metadata, len(groups))
    firsts = np.cumsum([0, *(group.num_rows for group in groups)])
    found = []
    try:
        with pq.ParquetFile(path, metadata=footer, page_checksum_verification=True) as file:
            for number in np.flatnonzero(wanted.may_be_in(spans_of(bounds))).tolist():
                keys = file.read_row_group(number, columns=["key"]).column(0).combine_chunks()
                words = key_words(keys.cast(pa.binary()))
                found.append((words, np.arange(len(words)) + firsts[number]))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedShard(path, f"is damaged: {reason(error)}") from error
    return found
