"""Writing shards of a table anew: what deleting, compacting and repairing have in common."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import writer
from .commit import Added
from .decoded import fixed_values, ragged_values
from .duck import folder_of, workspace
from .errors import DamagedShard, StoreError
from .key_ranges import KeyRanges, first_rows
from .listed_shards import ListedShards
from .locations import ROW_BITS, ROW_MASK
from .locks import exclusive_lock, has_no_locks
from .logged import LoggedShard
from .pieces import READ_BYTES
from .places import Place
from .shard import Shard
from .shard_file import reason
from .shard_writer import shard_schema
from .spec import FeatureSpec
from .stored_keys import stored_keys
from .table import FeatureTable
from .token_rows import TokenRows

LOCK_FILE = ".maintenance.lock"
_READ_COLUMNS = ("key", "n_tokens", "truncated", "features")  # from which all others follow

Block = tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray | TokenRows]
"""Keys, n_tokens, truncated and features of the same rows."""


@contextmanager
def maintained(folder: Place) -> Iterator[None]:
    """During a block, no other process deletes from, compacts, vacuums or repairs the table in a folder.

    Raises StoreError where another process is just doing so, as far as there are locks.
    """
    try:
        lock = exclusive_lock(folder / LOCK_FILE, create=True)
    except OSError as error:
        if not has_no_locks(error):
            raise
        yield  # commits that contradict each other are refused by the log, too
        return
    if lock is None:
        raise StoreError(f"another `enc store` command is at work on '{folder}'; wait until it has ended")
    try:
        yield
    finally:
        lock.release()


def replace_shards(
    table: FeatureTable,
    old: Sequence[LoggedShard],
    dropped: Mapping[str, np.ndarray],
    *,
    rows_change: bool = True,
    in_order: Iterable[pa.RecordBatch] | None = None,
) -> int:
    """Put the rows of shards, without those that are dropped, into new shards, in one commit.

    ``dropped`` are row numbers int64 by path. ``in_order`` are these rows, where they are to be written in
    another order. Returns how many shards were written. Until the commit, and when it fails, the table is as
    it was.
    """
    new: list[writer.NewShard] = []
    try:
        for batch in kept_rows(table.spec, old, dropped) if in_order is None else in_order:
            if not new or new[-1].bytes >= writer.SHARD_BYTES:
                new.append(writer.NewShard(table))
            new[-1].write(*_block(batch, table.spec))
            if new[-1].bytes >= writer.SHARD_BYTES:
                new[-1].finish()
        for shard in new:
            shard.finish()
        added = [Added(shard.path, shard.rows, shard.key_bounds) for shard in new]
        table.commit(added, old, rows_change=rows_change)
    except BaseException:
        committed = set()
        with suppress(StoreError):
            committed = {shard.path for shard in table.refresh().logged}
        for shard in new:
            if str(shard.path) not in committed:
                shard.discard()
        raise
    finally:
        for shard in new:
            shard.release()
    return len(new)


def kept_rows(
    spec: FeatureSpec, shards: Sequence[LoggedShard], dropped: Mapping[str, np.ndarray]
) -> Iterator[pa.RecordBatch]:
    """The rows of shards, one shard after the other, but for those that are dropped."""
    for shard in shards:
        yield from read_batches(shard.path, spec, dropped.get(shard.path))


def read_rows(path: str, spec: FeatureSpec, dropped: np.ndarray | None = None) -> Iterator[Block]:
    """The rows of :func:`read_batches`, as arrays."""
    for batch in read_batches(path, spec, dropped):
        yield _block(batch, spec)


def read_batches(path: str, spec: FeatureSpec, dropped: np.ndarray | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a shard of any layout, but for those whose numbers are dropped, block by block.

    Row groups of which all rows are dropped are not read. Raises DamagedShard.
    """
    shard = Shard(path, spec)
    keep = np.ones(shard.rows, bool)
    if dropped is not None:
        keep[dropped] = False
    batch_rows = max(1, READ_BYTES // spec.row_bytes)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            first = 0
            for number in range(file.num_row_groups):
                stop = first + file.metadata.row_group(number).num_rows
                if not keep[first:stop].any():
                    first = stop
                    continue
                if shard.plain:
                    shard.verify(number)
                for batch in file.iter_batches(batch_rows, row_groups=[number], columns=list(_READ_COLUMNS)):
                    kept = keep[first : first + batch.num_rows]
                    first += batch.num_rows
                    if kept.any():
                        yield _with_own_types(batch, spec).filter(pa.array(kept))
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DamagedShard(path, f"is damaged: {reason(error)}") from error


def _with_own_types(batch: pa.RecordBatch, spec: FeatureSpec) -> pa.RecordBatch:
    """Columns of the types of our own shards, whatever tool wrote them."""
    schema = shard_schema(spec)
    columns = [batch.column(name).cast(schema.field(name).type) for name in _READ_COLUMNS]
    return pa.RecordBatch.from_arrays(columns, names=list(_READ_COLUMNS))


def _block(batch: pa.RecordBatch, spec: FeatureSpec) -> Block:
    keys, n_tokens, truncated, features = (batch.column(name) for name in _READ_COLUMNS)
    if spec.is_ragged:
        block, lengths = ragged_values(features, spec)
        vectors = np.frombuffer(block, spec.numpy_dtype).reshape(-1, spec.shape[1])
        values: np.ndarray | TokenRows = TokenRows(vectors, lengths)
    else:
        block = fixed_values(features, spec.row_bytes)
        values = np.frombuffer(block, spec.numpy_dtype).reshape(len(features), *spec.shape)
    return (
        keys,
        n_tokens.to_numpy(zero_copy_only=False),
        truncated.to_numpy(zero_copy_only=False),
        values,
    )


@dataclass(frozen=True)
class Doubles:
    """Rows of a table whose key an earlier row has, which readers therefore never see."""

    rows: dict[str, np.ndarray]
    """Row numbers int64 by the shard's path."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.rows.values()))


def find_doubles(shards: ListedShards) -> Doubles:
    """Rows whose key an earlier row of these shards has.

    Memory is bounded: keys are looked at in ranges. They take up 40 bytes a row of the temporary folder.
    """
    found = [np.empty(0, np.int64)]
    with workspace() as con, closing(KeyRanges(folder_of(con), shards.rows)) as ranges:
        for words, locations in stored_keys(con, shards, None):
            ranges.add(words, locations)
        for number in range(len(ranges)):
            words, locations = ranges.range(number)
            order = np.argsort(locations)
            is_first = np.zeros(len(order), np.bool_)
            is_first[first_rows(words[order])] = True
            found.append(locations[order][~is_first])
    return Doubles(by_shard(np.concatenate(found), shards))


def by_shard(locations: np.ndarray, shards: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers int64 by the shard's path, of locations."""
    ordered = np.sort(locations)
    numbers, begins = np.unique(ordered >> ROW_BITS, return_index=True)
    parts = np.split(ordered & ROW_MASK, begins[1:])
    paths: list[str] = [shards[int(number)] for number in numbers]
    return dict(zip(paths, parts, strict=False))
