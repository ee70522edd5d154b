"""A feature set of random numbers, which several benchmarks read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..store import FeatureSpec, FeatureTable
from ..store.batches import PlannedFeatures
from ..store.locations import ROW_BITS

SHARDS = 20
HIDDEN, TOKENS = 384, 32


@dataclass(frozen=True)
class RandomFeatures:
    """A feature set of random numbers, and the location of each row."""

    shards: list[str]
    spec: FeatureSpec
    locations: np.ndarray

    def blocks(self) -> Iterator[np.ndarray]:
        """The features [rows, values] as they are stored, a shard's worth at a time."""
        planned = PlannedFeatures(self.shards, self.spec, self.locations, batches="streamed")
        return (block.reshape(len(block), -1) for block in planned.blocks(-(-planned.rows // SHARDS)))


def write_features(folder: Path, *, tokens: bool, rows: int) -> RandomFeatures:
    """A feature set of normal random numbers in ``SHARDS`` shards."""
    pooling = ("tokens",) if tokens else ("mean",)
    digest = "0" * 64
    spec = FeatureSpec(
        "random", digest, digest, hidden_size=HIDDEN, layers=(1,), pooling=pooling, max_length=TOKENS
    )
    table, rng = FeatureTable.create(folder, spec), np.random.default_rng(0)
    sizes = [len(part) for part in np.array_split(np.arange(rows), SHARDS)]
    for size in sizes:
        keys = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), size, [None, pa.py_buffer(rng.bytes(32 * size))]
        )
        with table.writer() as writer:  # a shard each
            features = rng.standard_normal((size, *spec.shape), dtype=np.float32).astype(np.float16)
            writer.write(keys, np.full(size, TOKENS, np.int32), np.zeros(size, bool), features)
    shards = table.refresh().shards
    return RandomFeatures(shards, spec, locations_of(shards))


def locations_of(shards: list[str]) -> np.ndarray:
    """A plan of all rows of the shards, in their order."""
    counts = [pq.read_metadata(shard).num_rows for shard in shards]
    return np.concatenate([(number << ROW_BITS) + np.arange(count) for number, count in enumerate(counts)])
