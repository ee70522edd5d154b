"""A shuffled epoch of token features of texts that differ in length: stored as they are, and padded.

Rows have the lengths of texts that are cut at ``LONGEST`` tokens. Both feature sets hold the same rows; a
DataLoader reads them from a mapped file that is padded, and DuckDB from a list column that is not. Every
contender gives batches that are padded, to their own longest row where that is smaller.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..store import FeatureSpec, FeatureTable
from ..store.batches import MODES
from ..store.token_batches import planned_features
from ..store.token_rows import TokenRows
from .bench_batches import BASELINE, ORDERS, SECONDS, UNIT, Epoch, copied, duckdb_epoch, loader_of, timed
from .random_features import HIDDEN, SHARDS, locations_of
from .results import Measurement, Results, in_turn, machine

LONGEST = 128
_SHORTEST = 3
_SHAPE = 2.0  # of the gamma distribution that lengths follow: SST-2's deviation is 0.7 of their mean


def run(
    *, mean_tokens: float, rows: int, batch_size: int, repetitions: int, say: Callable[[str], None]
) -> Results:
    """Measure a shuffled epoch of each contender over ``rows`` random rows of so many tokens on average."""
    folder = Path(tempfile.mkdtemp(prefix="enc-bench-"))
    try:
        lengths = lengths_of(rows, mean_tokens)
        tables = {layout: _written(folder / layout, lengths, layout) for layout in ("ragged", "padded")}
        sizes = {layout: sum(shard.bytes for shard in table.logged) for layout, table in tables.items()}
        tokens = int(lengths.sum())
        for layout, size in sizes.items():
            say(f"{layout}: {size / 1e6:,.0f} MB")
        contenders: list[tuple[Measurement, Callable[[], float]]] = []

        def contend(name: str, make: Callable[[], Epoch], *, stop: bool = True, **remarks: Any) -> None:
            measurement = Measurement(name, UNIT, remarks=remarks)
            try:
                contenders.append((measurement, timed(make(), rows, measurement, stop=stop)))
            except Exception as error:  # a peer may fail in any way, and the others go on
                measurement.fail(error)
                contenders.append((measurement, lambda: 0.0))

        copies = np.ones((2, rows, tokens // rows * HIDDEN * 2), np.uint8)
        contend(
            "the machine's own copy of the tokens, unshuffled", lambda: lambda _: copied(copies, batch_size)
        )
        for layout, table in tables.items():
            for mode in MODES:
                contend(
                    f"enc {mode}{', stored with padding' if layout == 'padded' else ''}",
                    lambda table=table, mode=mode: _enc(table, mode, batch_size),
                    order=ORDERS[mode],
                    stored=f"{sizes[layout] / 1e6:,.0f} MB",
                )
        contend(
            "torch DataLoader over a mapped npy file, padded",
            lambda: loader_of(_npy(folder / "features.npy", tables["padded"]), batch_size),
            order="all rows",
        )
        contend(BASELINE, lambda: _duckdb(folder, tables["ragged"], batch_size), stop=False, order="all rows")
        in_turn(contenders, repetitions, say)
    finally:
        shutil.rmtree(folder)
    for measurement, _ in contenders:
        measurement.remarks["tokens/s"] = f"{measurement.median * tokens / rows:,.0f}"
    settings = {
        "features": f"tokens, at most {LONGEST} x {HIDDEN} float16",
        "tokens a row": f"{tokens / rows:.1f} on average",
        "rows": f"{rows:,}",
        "shards": SHARDS,
        "batch size": f"{batch_size:,}",
        "repetitions": repetitions,
        "contenders other than DuckDB stopped after": f"{SECONDS:.0f} s",
    }
    return Results("token-rows", BASELINE, settings, [m for m, _ in contenders], machine())


def lengths_of(rows: int, mean: float) -> np.ndarray:
    """Lengths int32 [rows] of texts that are cut at LONGEST tokens, with about this mean then."""
    drawn = np.random.default_rng(0).gamma(_SHAPE, 1.0, rows)

    def scaled(scale: float) -> np.ndarray:
        return np.clip(drawn * scale, _SHORTEST, LONGEST).astype(np.int32)

    low, high = 0.0, float(4 * LONGEST)
    for _ in range(40):
        scale = (low + high) / 2
        low, high = (scale, high) if scaled(scale).mean() < mean else (low, scale)
    return scaled(high)


def _written(folder: Path, lengths: np.ndarray, layout: str) -> FeatureTable:
    """A feature set of normal random numbers in SHARDS shards; those of both layouts are equal."""
    digest = "0" * 64
    spec = FeatureSpec(
        "random",
        digest,
        digest,
        hidden_size=HIDDEN,
        layers=(1,),
        pooling=("tokens",),
        max_length=LONGEST,
        token_layout=layout,
    )
    table, rng = FeatureTable.create(folder, spec), np.random.default_rng(1)
    for some in np.array_split(lengths, SHARDS):
        keys = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(some), [None, pa.py_buffer(rng.bytes(32 * len(some)))]
        )
        vectors = rng.standard_normal((int(some.sum()), HIDDEN), dtype=np.float32).astype(np.float16)
        rows = TokenRows(vectors, some)
        with table.writer() as writer:  # a shard each
            writer.write(
                keys, some, np.zeros(len(some), bool), rows if spec.is_ragged else rows.padded(LONGEST)
            )
    return table.refresh()


def _enc(table: FeatureTable, mode: str, batch_size: int) -> Epoch:
    shards = table.shards
    planned = planned_features(shards, table.spec, locations_of(shards), batches=mode)
    for _ in planned.epoch(0, 0, batch_size):  # as every epoch but the first finds it
        pass
    return lambda number: (features for _, features in planned.epoch(1, number, batch_size))


def _npy(path: Path, table: FeatureTable) -> np.ndarray:
    shards = table.shards
    planned = planned_features(shards, table.spec, locations_of(shards), batches="streamed")
    writing = np.lib.format.open_memmap(path, "w+", np.float16, (planned.rows, *planned.shape))
    start = 0
    for block in planned.blocks(1024):
        writing[start : start + len(block)] = block
        start += len(block)
    del writing
    return np.load(path, mmap_mode="r")


def _duckdb(folder: Path, table: FeatureTable, batch_size: int) -> Epoch:
    for number, shard in enumerate(table.shards):
        stored = pq.read_table(shard, columns=["kept_tokens", "features"])
        values = np.frombuffer(b"".join(stored.column("features").to_pylist()), np.float16)
        stops = np.cumsum(stored.column("kept_tokens").to_numpy() * HIDDEN)
        lists = pa.ListArray.from_arrays(
            pa.array(np.append(0, stops), pa.int32()), pa.array(values.astype(np.float32))
        )
        rows = pa.array(np.arange(len(stored)) * SHARDS + number)
        pq.write_table(
            pa.table({"row": rows, "features": lists}),
            folder / f"{number}.parquet",
            compression="none",
            use_dictionary=False,
        )

    def padded(column: Any) -> np.ndarray:
        sizes = np.diff(column.offsets.to_numpy()) // HIDDEN
        return TokenRows(column.flatten().to_numpy().reshape(-1, HIDDEN), sizes).padded()

    query = f"SELECT features FROM read_parquet('{folder}/*.parquet') ORDER BY hash(row + {{epoch}})"
    return duckdb_epoch(query, batch_size, padded)
