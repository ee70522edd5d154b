"""The keys of shards: of all of them, or of those in which some keys may be that are looked for."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import duckdb
import numpy as np

from . import plan
from .key_ranges import key_words
from .listed_shards import ListedShards, Wanted
from .locations import ROW_BITS, ROW_MASK
from .logged import LoggedShard
from .places import reading_threads
from .prefetch import computed_ahead
from .shard_keys import local_threads, read_keys
from .shard_writer import ROW_GROUP_ROWS

Keys = tuple[np.ndarray, np.ndarray]
"""Keys as words, uint64 [n, 4], and their numbers, int64 [n]."""
_READ_ROWS = 1 << 17
_RUN_SHARDS = 64
_IN_MEMORY = 0.9  # share of the time in which is computed, where the system has the files in memory


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

    Listed shards are looked at as they are read: their size, footer and keys. Raises DamagedShard.
    """
    if not shards:
        return
    if not isinstance(shards, ListedShards):
        yield from keys_of(con, plan.shard_keys_sql(shards))
        return
    chosen = np.arange(len(shards)) if wanted is None else np.flatnonzero(wanted.may_be_in(shards.spans))
    if wanted is not None and wanted.buckets * ROW_GROUP_ROWS >= shards.rows:
        wanted = None  # few row groups would be left out
    others: list[int] = []
    for keys, rewritten in _read_ahead(shards, chosen.tolist(), wanted):
        others += rewritten
        if keys:
            yield np.concatenate([words for words, _ in keys]), np.concatenate([rows for _, rows in keys])
    if not others:
        return
    shards.look_at(others)
    numbers = np.array(others)
    for words, locations in keys_of(con, plan.shard_keys_sql([shards[number] for number in others])):
        yield words, (numbers[locations >> ROW_BITS] << ROW_BITS) | (locations & ROW_MASK)


def _read_ahead(
    shards: ListedShards, chosen: Sequence[int], wanted: Wanted | None
) -> Iterator[tuple[list[Keys], list[int]]]:
    """Keys and locations of shards, some shards at a time; and which of them only other readers can read."""

    def read(numbers: Sequence[int]) -> tuple[list[Keys], list[int]]:
        keys, rewritten = [], []
        for number in numbers:
            found = read_keys(shards.logged[number], wanted)
            if found is None:
                rewritten.append(number)
                continue
            for words, first in found:
                start = (number << ROW_BITS) + first
                keys.append((words, np.arange(start, start + len(words))))
        return keys, rewritten

    local = local_threads()
    threads = reading_threads(shards[0], local)
    if threads != local:
        yield from computed_ahead(read, ([number] for number in chosen), "enc-keys", threads=threads)
        return
    # Threads wait for a disk together. Where nothing is waited for, they wait for Python's lock instead.
    runs = _runs(shards.logged, chosen)
    started, computed = time.perf_counter(), time.thread_time()
    first = [read(run) for run in islice(runs, 1)]
    seconds, computed = time.perf_counter() - started, time.thread_time() - computed
    yield from first
    threads = threads if computed < _IN_MEMORY * seconds else 1
    yield from computed_ahead(read, runs, "enc-keys", threads=threads)


def _runs(logged: Sequence[LoggedShard], chosen: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of shards, those of small ones together: a thread is not started for a few rows."""
    run: list[int] = []
    rows = 0
    for number in chosen:
        run.append(number)
        rows += logged[number].rows or 0
        if rows >= _READ_ROWS or len(run) >= _RUN_SHARDS:
            yield run
            run, rows = [], 0
    if run:
        yield run
