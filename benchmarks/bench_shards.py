"""What many shards cost a reader, and what several workers bring.

The same rows are stored in few and in many shards. Each step is a process of its own: opening the feature
set, finding all texts in it, finding ten of them; and the last one again when rows were sorted by key.
Workers build one source with a model, on all cores of this machine together.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from ..store import Source, Store
from ..store import writer as store_writer
from ..store.compact import compact
from ..store.duck import workspace
from ..store.lookup import look_up
from ..store.progress import tell
from ..store.stage import stage_source
from ..store.table import FeatureTable
from ..store.writer import NewShard, commit_shards
from .bench_scale import FreeEncoder, ScaleError, write_rows
from .results import Measurement, Results, machine

SHARDS = (100, 10_000)
SHARD_ROWS = 1_000_000
FEW = 10
SORTED_SHARDS = 100
STEPS = {"open": "opened", "all": "all texts found", "few": f"{FEW:,} texts found"}
_SHARDS_PER_COMMIT = 100
TEXTS = 3000


def run_shards(*, shards: Sequence[int], rows: int, repetitions: int, say: Callable[[str], None]) -> Results:
    """Measure every step with each number of shards, and again with rows sorted by key."""
    measurements: list[Measurement] = []
    total = sum(len(STEPS) + 2 * (count > SORTED_SHARDS) for count in {*shards})
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        write_rows(folder / "rows.parquet", rows)
        write_rows(folder / "few.parquet", FEW)
        for count in sorted(set(shards)):
            say(f"writing {count:,} shards")
            store = folder / f"store-{count}"
            write_store(folder / "rows.parquet", rows, store, count)
            for step, what in STEPS.items():
                tell("repeating", len(measurements), total)
                measurements.append(
                    _measure(f"{count:,} shards, {what}", step, folder, store, repetitions, say)
                )
            if count > SORTED_SHARDS:
                say("sorting by key")
                started = time.perf_counter()
                done = sort_store(store)
                measurement = Measurement(f"{count:,} shards, sorted by key", "s")
                measurement.rates.append(time.perf_counter() - started)
                measurement.remarks = {"shards after": done}
                measurements.append(measurement)
                again = f"{count:,} shards sorted by key, {STEPS['few']}"
                tell("repeating", len(measurements), total)
                measurements.append(_measure(again, "few", folder, store, repetitions, say))
        tell("repeating", total, total)
    settings = {"rows": rows, "width": FreeEncoder().spec.hidden_size, "repetitions": repetitions}
    return Results("shards", measurements[0].name, settings, measurements, machine(), less_is_better=True)


def write_store(rows_file: Path, rows: int, store: Path, shards: int) -> None:
    """A feature set ``free`` with the rows' texts in so many shards, in the order of the rows."""
    spec = FreeEncoder().spec
    table = Store(store).create("free", spec)
    per_shard = -(-rows // shards)
    waiting: list[NewShard] = []
    with workspace() as con:
        stage = stage_source(con, Source(rows_file), keep_text=False)
        keys = con.sql(f"SELECT key FROM {stage.name} ORDER BY id").to_arrow_table().column(0)
    for start in range(0, rows, per_shard):
        some = keys.slice(start, per_shard).combine_chunks().cast(pa.binary())
        shard = NewShard(table)
        ones = np.ones(len(some), np.int32)
        features = np.ones((len(some), *spec.shape), spec.numpy_dtype)
        shard.write(some, ones, np.zeros(len(some), bool), features)
        waiting.append(shard)
        if len(waiting) == _SHARDS_PER_COMMIT:
            commit_shards(table, waiting)
            waiting = []
    if waiting:
        commit_shards(table, waiting)


def sort_store(store: Path) -> int:
    """Sort a store by key, into about SORTED_SHARDS; returns how many they are."""
    table = Store(store).open("free")
    usual = store_writer.SHARD_BYTES
    store_writer.SHARD_BYTES = max(1, table.bytes // SORTED_SHARDS)
    try:
        return compact(table, by_key=True).shards_after
    finally:
        store_writer.SHARD_BYTES = usual


def _measure(
    name: str, step: str, folder: Path, store: Path, repetitions: int, say: Callable[[str], None]
) -> Measurement:
    measurement = Measurement(name, "s")
    for _ in range(repetitions):
        command = [sys.executable, "-m", __name__, step, str(folder), str(store)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ScaleError(f"the step '{step}' failed: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(done.stdout.splitlines()[-1])
        measurement.rates.append(found["seconds"])
        measurement.remarks = {
            "MB read": f"{found['megabytes']:.1f}",
            "shards opened": found["opened"],
        }
    say(f"{name}: {measurement.median:.2f} s, {measurement.remarks['MB read']} MB read")
    return measurement


def do_step(step: str, folder: Path, store: Path) -> dict[str, Any]:
    """One of STEPS: its seconds, megabytes read by system calls, and shards of which something was read."""
    from ..store import shard_keys

    opened: set[str] = set()

    def watching(function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(path: str, *arguments: Any) -> Any:
            opened.add(path)
            return function(path, *arguments)

        return watched

    with (
        mock.patch.object(shard_keys, "opened", watching(shard_keys.opened)),
        workspace() as con,
    ):
        source = "few" if step == "few" else "rows"
        stage = None if step == "open" else stage_source(con, Source(folder / f"{source}.parquet"))
        read, started = _bytes_read(), time.perf_counter()
        table = FeatureTable(store / "free")
        found = len(table.logged) if stage is None else look_up(stage, table.listed_shards).distinct
        seconds, read = time.perf_counter() - started, _bytes_read() - read
        if stage is not None and found != stage.rows:
            raise ScaleError(f"{found} of {stage.rows} texts were counted")
    return {"seconds": seconds, "megabytes": read / 1e6, "opened": len(opened)}


def _bytes_read() -> int:
    try:
        with open("/proc/self/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("rchar"))
    except OSError:  # no Linux
        return 0


def run_workers(
    *,
    workers: Sequence[int],
    with_ray: bool,
    model: str,
    texts: int,
    repetitions: int,
    say: Callable[[str], None],
) -> Results:
    """Build a source by one process, by so many local workers, and by as many Ray tasks."""
    from ..engine.backends.load import load_encoder
    from ..engine.encode.build import build_features
    from ..engine.runners.job import BuildJob
    from ..engine.runners.processes import build_in_processes

    measurements = [Measurement("one process", "s")]
    ways: list[tuple[Measurement, Callable[[BuildJob], Any]]] = []
    for count in sorted({*workers}):
        ways.append(
            (Measurement(f"{count} local workers", "s"), lambda job, n=count: build_in_processes(job, n))
        )
    if with_ray:
        from ..engine.runners.ray_tasks import build_with_ray

        count = max(workers)
        ways.append((Measurement(f"{count} Ray tasks", "s"), lambda job: build_with_ray(job, count)))
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        rows = folder / "rows.parquet"
        write_rows(rows, texts)
        encoder = load_encoder(model)
        build_features(Source(rows, where="label = 'none'"), folder / "store", encoder)
        for number in range(repetitions):
            started = time.perf_counter()
            summary = build_features(Source(rows), folder / f"one-{number}", encoder)
            _took(measurements[0], started, summary, texts, say)
            for place, (measurement, build) in enumerate(ways):
                started = time.perf_counter()
                summary = build(BuildJob.of(Source(rows), folder / f"store-{number}-{place}", encoder))
                _took(measurement, started, summary, texts, say)
    measurements += [measurement for measurement, _ in ways]
    settings = {"texts": texts, "model": Path(model).name, "repetitions": repetitions}
    return Results("workers", measurements[0].name, settings, measurements, machine(), less_is_better=True)


def _took(
    measurement: Measurement, started: float, summary: Any, texts: int, say: Callable[[str], None]
) -> None:
    measurement.rates.append(time.perf_counter() - started)
    if summary.encoded != texts:
        raise ScaleError(f"{measurement.name}: {summary.encoded} texts were encoded")
    measurement.remarks = {
        f"{stage} s": f"{seconds:.2f}" for stage, seconds in summary.seconds.items() if stage != "total"
    }
    say(f"{measurement.name}: {measurement.rates[-1]:.1f} s")


if __name__ == "__main__":
    print(json.dumps(do_step(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
