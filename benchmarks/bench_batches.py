"""A shuffled epoch of stored features: enc against DuckDB, datasets, Lance and a DataLoader.

All contenders run in one process and read the same random features from the disk, each in the format
that suits it; all of these files fit the page cache. Opening and warming up are not timed, shuffling
is: every contender gives all rows in a fresh random order, as numpy arrays or tensors of one batch.
Slow contenders are stopped after ``SECONDS`` and report the rate until then; DuckDB sorts first, so
it is not stopped.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..store.batches import BUFFER_BYTES, MODES, PlannedFeatures
from .random_features import SHARDS, RandomFeatures, write_features
from .results import Measurement, Results, in_turn, machine

BASELINE = "DuckDB, ORDER BY hash over a list column"
UNIT = "rows/s"
SECONDS = 5.0
HF_BUFFER_ROWS = 10_000  # as in the documentation of datasets; its default is 1,000
_HF_ROWS = 1000  # in a record batch of an Arrow file, as datasets writes them

Batches = Iterator[Any]
Epoch = Callable[[int], Batches]
"""The batches of the epoch of this number."""


def run(*, tokens: bool, rows: int, batch_size: int, repetitions: int, say: Callable[[str], None]) -> Results:
    """Measure a shuffled epoch of each contender that is installed, over ``rows`` random features.

    Features are of every token with ``tokens``, else pooled.
    """
    folder = Path(tempfile.mkdtemp(prefix="enc-bench-"))
    try:
        data = write_features(folder / "features", tokens=tokens, rows=rows)
        say(f"wrote {rows:,} rows of {data.spec.row_bytes:,} bytes")
        contenders: list[tuple[Measurement, Callable[[], float]]] = []

        def contend(name: str, make: Callable[[], Epoch], *, stop: bool = True, **remarks: Any) -> None:
            """Open and warm up a contender; one that cannot be opened is reported as such."""
            measurement = Measurement(name, UNIT, remarks=remarks)
            contenders.append((measurement, lambda: 0.0))
            try:
                started = time.perf_counter()
                epoch = make()
                measurement.remarks["opened in"] = f"{time.perf_counter() - started:.2f} s"
                contenders[-1] = measurement, timed(epoch, rows, measurement, stop=stop)
            except Exception as error:  # a peer may fail in any way, and the others go on
                measurement.fail(error)
                say(f"{name}: {measurement.problem}")
                return
            say(f"opened {name}")

        copies = np.ones((2, rows, data.spec.row_bytes), np.uint8)
        contend(
            "the machine's own copy of the features, unshuffled",
            lambda: lambda _: copied(copies, batch_size),
        )
        for mode in MODES:
            contend(f"enc {mode}", lambda mode=mode: _enc(data, mode, batch_size), order=ORDERS[mode])
        files = folder / "peers"
        files.mkdir()
        contend(BASELINE, lambda: _duckdb_lists(data, files, batch_size), stop=False, order="all rows")
        contend(
            "DuckDB, ORDER BY hash over enc's binary column",
            lambda: _duckdb_binary(data, batch_size),
            stop=False,
            order="all rows",
        )
        for style in ("numpy", "arrow"):
            contend(
                f"datasets, shuffled, {style} format",
                lambda style=style: _datasets(data, files, style, batch_size),
                order="all rows",
            )
        buffered = f"shards, then {HF_BUFFER_ROWS:,} rows at a time"
        contend(
            "datasets, iterable, shuffle buffer, arrow format",
            lambda: _datasets_iterable(data, files, batch_size),
            order=buffered,
        )
        contend(
            "torch DataLoader over a mapped npy file",
            lambda: _loader(data, files, batch_size),
            order="all rows",
        )
        contend("Lance, take", lambda: _lance(data, files, batch_size), order="all rows")
        in_turn(contenders, repetitions, say)
    finally:
        shutil.rmtree(folder)
    kind, shape = "tokens" if tokens else "pooled", " x ".join(map(str, data.spec.shape))
    settings = {
        "features": f"{kind}, {shape} {data.spec.dtype}",
        "rows": f"{rows:,}",
        "shards": SHARDS,
        "batch size": f"{batch_size:,}",
        "repetitions": repetitions,
        "contenders other than DuckDB stopped after": f"{SECONDS:.0f} s",
    }
    return Results(
        "batches", BASELINE, settings, [m for m, _ in contenders], machine(["datasets", "pylance"])
    )


ORDERS = {
    "ram": "all rows",
    "mapped": "all rows",
    "streamed": f"blocks, then {BUFFER_BYTES >> 21} MB at a time",
}


def timed(epoch: Epoch, rows: int, measurement: Measurement, *, stop: bool) -> Callable[[], float]:
    """Warm a contender up; gives a function that measures the rows a second of one epoch."""
    numbers = iter(range(1, 1_000_000))
    for _ in zip(range(3), epoch(0), strict=False):  # warm up
        pass

    def measure() -> float:
        started, found = time.perf_counter(), 0
        for batch in epoch(next(numbers)):
            found += len(batch)
            if stop and time.perf_counter() - started > SECONDS:
                break
        rate = found / (time.perf_counter() - started)
        assert found == rows or stop
        measurement.remarks["of an epoch"] = f"{found / rows:.0%}"
        return rate

    return measure


def copied(copies: np.ndarray, batch_size: int) -> Batches:
    """Copies of the rows of ``copies[0]``, made in ``copies[1]``."""
    for start in range(0, copies.shape[1], batch_size):
        target = copies[1, start : start + batch_size]
        np.copyto(target, copies[0, start : start + batch_size])
        yield target


def _enc(data: RandomFeatures, mode: str, batch_size: int) -> Epoch:
    planned = PlannedFeatures(data.shards, data.spec, data.locations, batches=mode)
    for _ in planned.epoch(0, 0, batch_size):  # as every epoch but the first finds it
        pass
    return lambda number: (features for _, features in planned.epoch(1, number, batch_size))


def _duckdb_lists(data: RandomFeatures, files: Path, batch_size: int) -> Epoch:
    for number, block in enumerate(data.blocks()):
        values = pa.array(block.reshape(-1).astype(np.float32))  # DuckDB has no float16
        features = pa.ListArray.from_arrays(
            pa.array(np.arange(0, block.size + 1, block.shape[1]), pa.int32()), values
        )
        rows = pa.array(np.arange(len(block)) * SHARDS + number)
        table = pa.table({"row": rows, "features": features})
        pq.write_table(table, files / f"{number}.parquet", compression="none", use_dictionary=False)
    return duckdb_epoch(
        f"SELECT features FROM read_parquet('{files}/*.parquet') ORDER BY hash(row + {{epoch}})",
        batch_size,
        _from_lists,
    )


def _duckdb_binary(data: RandomFeatures, batch_size: int) -> Epoch:
    def convert(column: pa.Array) -> np.ndarray:
        return np.stack([np.frombuffer(value, np.float16) for value in column.to_pylist()])

    shards = ", ".join(f"'{shard}'" for shard in data.shards)
    return duckdb_epoch(
        f"SELECT features FROM read_parquet([{shards}]) ORDER BY hash(key, {{epoch}})", batch_size, convert
    )


def duckdb_epoch(query: str, batch_size: int, convert: Callable[[pa.Array], np.ndarray]) -> Epoch:
    """Batches of what a query sorts, which has ``{epoch}`` in it."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET enable_progress_bar=false")
    con.execute("SET preserve_insertion_order=false")

    def epoch(number: int) -> Batches:
        if number == 0:
            return  # there is nothing to warm up, and sorting takes as long for three batches as for all
        for batch in con.sql(query.format(epoch=number)).to_arrow_reader(batch_size):
            yield convert(batch.column(0))

    return epoch


def _from_lists(column: Any) -> np.ndarray:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.flatten().to_numpy().reshape(len(column), -1)


def _lists(block: np.ndarray) -> pa.Table:
    return pa.table(
        {"features": pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), block.shape[1])}
    )


def _arrow_files(data: RandomFeatures, files: Path) -> Any:
    """The features as a memory-mapped dataset of Hugging Face."""
    import datasets  # pyright: ignore[reportMissingImports]

    paths = [files / f"{number}.arrow" for number in range(SHARDS)]
    if not paths[0].exists():
        for path, block in zip(paths, data.blocks(), strict=True):
            table = _lists(block)
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=_HF_ROWS)
    datasets.disable_progress_bars()
    return datasets.concatenate_datasets([datasets.Dataset.from_file(str(path)) for path in paths])


def _datasets(data: RandomFeatures, files: Path, style: str, batch_size: int) -> Epoch:
    dataset = _arrow_files(data, files).with_format(style)

    def epoch(number: int) -> Batches:
        for batch in dataset.shuffle(seed=number).iter(batch_size):
            yield batch["features"] if style == "numpy" else _from_lists(batch["features"])

    return epoch


def _datasets_iterable(data: RandomFeatures, files: Path, batch_size: int) -> Epoch:
    dataset = _arrow_files(data, files).with_format("arrow").to_iterable_dataset(num_shards=SHARDS)

    def epoch(number: int) -> Batches:
        for batch in dataset.shuffle(seed=number, buffer_size=HF_BUFFER_ROWS).iter(batch_size):
            yield _from_lists(batch["features"])

    return epoch


def _loader(data: RandomFeatures, files: Path, batch_size: int) -> Epoch:
    shape = (len(data.locations), *data.spec.shape)
    writing = np.lib.format.open_memmap(files / "features.npy", "w+", np.float16, shape)
    start = 0
    for block in data.blocks():
        writing[start : start + len(block)] = block.reshape(-1, *shape[1:])
        start += len(block)
    del writing
    return loader_of(np.load(files / "features.npy", mmap_mode="r"), batch_size)


def loader_of(features: np.ndarray, batch_size: int) -> Epoch:
    """Batches of a mapped array by torch's DataLoader."""
    import torch
    from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

    class Rows(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(features)

        def __getitem__(self, rows: list[int]) -> torch.Tensor:
            return torch.from_numpy(features[rows])

    # No worker processes: sending batches between processes takes longer than gathering them.
    sampler = BatchSampler(RandomSampler(range(len(features))), batch_size, drop_last=False)
    loader = DataLoader(Rows(), sampler=sampler, batch_size=None)
    return lambda _: iter(loader)


def _lance(data: RandomFeatures, files: Path, batch_size: int) -> Epoch:
    import lance  # pyright: ignore[reportMissingImports]

    path = str(files / "features.lance")
    for block in data.blocks():
        lance.write_dataset(_lists(block), path, mode="append")
    dataset = lance.dataset(path)

    def epoch(number: int) -> Batches:
        order = np.random.default_rng(number).permutation(len(data.locations))
        for start in range(0, len(order), batch_size):
            yield _from_lists(dataset.take(order[start : start + batch_size]).column(0))

    return epoch
