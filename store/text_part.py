"""The distinct texts of one file of a source, in the order of their keys, so that any share is read alone.

A part is a Parquet file: ``key``, ``text``, ``pair`` and ``rows``, the number of the file's rows with that
text. Its footer says between which keys each row group lies, and what is known of the file (:class:`Facts`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .key_bounds import GROUPS_KEY, Bounds, of_metadata, to_metadata
from .key_ranges import key_words
from .shard_writer import KEY_BYTES
from .share import Share

FACTS_KEY = "enc.facts"
RANGES = 256  # that a part is divided into, about, by row groups
_GROUP_ROWS = (1 << 10, 1 << 16)  # of a row group, at the least and at the most
_GROUP_BYTES = 32 << 20
READ_ROWS = 1 << 17  # that are read of a part at a time; DuckDB writes about as many together
READ_BYTES = 32 << 20
_SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("pair", pa.large_string()),
        pa.field("rows", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Facts:
    """What is known of a file whose texts a part holds."""

    file: str
    """As messages name it."""
    text_column: str
    pair_column: str | None
    rows: int
    """Rows with a usable text."""
    distinct: int
    rejected: int
    reasons: dict[str, int]
    """Rejected rows by reason."""


def write_texts(
    path: Path, rows: Iterable[pa.RecordBatch], count: int, facts: Callable[[int], Facts]
) -> None:
    """Write ``key, text, pair, rows`` in the order of keys, each key once, with the sum of its ``rows``.

    ``count`` is how many come; ``facts`` is told how many distinct keys there were.
    """
    least, most = _GROUP_ROWS
    group_rows = min(max(count // RANGES, least), most)
    pending: list[pa.Table] = []
    bounds: list[Bounds] = []
    distinct = 0
    with pq.ParquetWriter(
        path,
        _SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:

        def write() -> None:
            group = pa.concat_tables(pending).combine_chunks()
            keys = group.column("key").chunk(0)
            bounds.append(Bounds(keys[0].as_py(), keys[-1].as_py()))
            writer.write_table(group, row_group_size=group.num_rows)
            pending.clear()

        for some in _distinct(rows):
            distinct += some.num_rows
            for start in range(0, some.num_rows, group_rows):
                pending.append(some.slice(start, group_rows))
                full = sum(one.num_rows for one in pending) >= group_rows
                if full or sum(one.nbytes for one in pending) >= _GROUP_BYTES:
                    write()
        if pending:
            write()
        told = json.dumps(asdict(facts(distinct)), ensure_ascii=False)
        writer.add_key_value_metadata({GROUPS_KEY: to_metadata(bounds), FACTS_KEY: told})


def _distinct(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Each key once, of rows in the order of keys."""
    last: pa.Table | None = None  # whose rows may go on in the next batch
    for batch in rows:
        if not batch.num_rows:
            continue
        words = key_words(batch.column(0).cast(pa.binary()))
        starts = np.flatnonzero(np.r_[True, (words[1:] != words[:-1]).any(1)])
        counts = np.add.reduceat(batch.column("rows").to_numpy().astype(np.int64), starts)
        table = _part_rows(batch.take(pa.array(starts)), counts)
        if last is not None:
            if last.column("key")[0] == table.column("key")[0]:
                counts[0] += last.column("rows")[0].as_py()
                table = _part_rows(batch.take(pa.array(starts)), counts)
            else:
                yield last
        yield table.slice(0, table.num_rows - 1)
        last = table.slice(table.num_rows - 1)
    if last is not None:
        yield last


def _part_rows(batch: pa.RecordBatch, counts: np.ndarray) -> pa.Table:
    columns = [batch.column(name).cast(_SCHEMA.field(name).type) for name in ("key", "text", "pair")]
    return pa.table([*columns, pa.array(counts, pa.int64())], schema=_SCHEMA)


def read_facts(file: BinaryIO) -> Facts:
    """What is known of a part's file. Raises as :func:`read_share`."""
    return _facts(pq.ParquetFile(file))


def read_share(file: BinaryIO, share: Share, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of the rows of a part whose keys are in a share, ``key`` first; only their row groups are read.

    Raises what Arrow raises of a damaged file: OSError, ValueError or ArrowException.
    """
    with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=True) as part:
        first, stop = share.span
        bounds = of_metadata(part.metadata.metadata, part.num_row_groups)
        chosen = [number for number, one in enumerate(bounds) if one is None or _may_hold(one, first, stop)]
        for groups in _read_at_once(part, chosen):
            table = part.read_row_groups(groups, columns=["key", *columns])
            keys = table.column("key").combine_chunks().cast(pa.binary())
            leading = key_words(keys)[:, 0].byteswap()
            held = leading >= np.uint64(first)
            if stop < 1 << 64:
                held &= leading < np.uint64(stop)
            if held.any():
                yield table.filter(pa.array(held))


def _read_at_once(part: pq.ParquetFile, groups: Sequence[int]) -> Iterator[list[int]]:
    """Row groups of a part that are read together, because each alone may be small."""
    some: list[int] = []
    rows = size = 0
    for number in groups:
        group = part.metadata.row_group(number)
        if some and (rows + group.num_rows > READ_ROWS or size + group.total_byte_size > READ_BYTES):
            yield some
            some, rows, size = [], 0, 0
        some.append(number)
        rows += group.num_rows
        size += group.total_byte_size
    if some:
        yield some


def _may_hold(bounds: Bounds, first: int, stop: int) -> bool:
    least, greatest = (int.from_bytes(key[:8], "big") for key in bounds)
    return least < stop and greatest >= first


def _facts(part: pq.ParquetFile) -> Facts:
    found = (part.metadata.metadata or {}).get(FACTS_KEY.encode())
    if found is None:
        raise ValueError("its footer does not say what it is")
    return Facts(**json.loads(found))
