"""Small feature sets whose features can be told from their keys."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from enc.store import FeatureTable
from enc.store.pages import only_page
from enc.store.token_batches import planned_features
from enc.store.token_rows import TokenRows
from fakes import fake_spec

RAGGED = dict(pooling=("tokens",), token_layout="ragged")
"""What the setting of ragged rows of tokens has in place of a pooled one's."""


def key_of(number: int) -> bytes:
    return int(number).to_bytes(32)


def filled(folder: Path, *shards: range, **changes) -> FeatureTable:
    """A table with a shard for each range of numbers; key and features of a row are its number."""
    table = FeatureTable.create(folder, fake_spec(**changes))
    for numbers in shards:
        add(table, numbers)
    return table


def add(table: FeatureTable, numbers: range, *, plus: float = 0.0) -> None:
    rows = len(numbers)
    features = np.repeat(np.array(numbers)[:, None] + plus, 4, axis=1).astype(np.float32)
    with table.writer() as writer:
        writer.write(
            pa.array([key_of(n) for n in numbers], pa.binary()),
            np.array(numbers, np.int32),
            np.zeros(rows, bool),
            ragged(features, numbers) if table.spec.is_ragged else features,
        )


def ragged(vectors: np.ndarray, numbers: Sequence[int]) -> TokenRows:
    """Rows of one to six tokens, which all have the vector of their row."""
    lengths = lengths_of(numbers)
    return TokenRows(np.repeat(vectors, lengths, axis=0), lengths)


def lengths_of(numbers: Sequence[int]) -> np.ndarray:
    """Tokens of the rows of :func:`ragged`."""
    return (1 + np.array(numbers) % 6).astype(np.int32)


def served(folder: Path, mode: str = "ram") -> dict[int, float]:
    """What readers get: the feature of every number, as the first row that has its key."""
    table = FeatureTable(folder)
    shards = table.shards
    keys = [pq.read_table(shard, columns=["key"]).column(0).to_pylist() for shard in shards]
    locations = [(n << 40) + row for n, rows in enumerate(keys) for row in range(len(rows))]
    planned = planned_features(shards, table.spec, np.array(locations, np.int64), batches=mode)
    features = planned.take(np.arange(planned.rows)) if locations else []
    found: dict[int, float] = {}
    for key, row in zip([key for rows in keys for key in rows], features, strict=True):
        number = int.from_bytes(key)
        if table.spec.is_ragged:
            tokens = int(lengths_of([number])[0])
            assert (row[:tokens] == row[0, 0]).all()
            assert not row[tokens:].any()
        found.setdefault(number, float(row.flat[0]))
    return found


def flip(path: Path, byte: int, bit: int) -> None:
    """Flip one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(byte)
        old = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([old ^ 1 << bit]))


def page_start(path: Path, column: str, group: int = 0) -> int:
    """Where the bytes of a column's page begin."""
    with open(path, "rb") as file:
        metadata = pq.read_metadata(path)
        number = metadata.schema.to_arrow_schema().names.index(column)
        page = only_page(file.fileno(), metadata.row_group(group).column(number))
    assert page is not None
    return page.start
