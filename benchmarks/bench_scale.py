"""Time and memory of whole jobs by number of rows, with an encoder that costs nothing.

What is left is what enc itself does with rows: reading, hashing, looking up, planning, training, scoring.
Every step is a process of its own. Its figure is the time of the processor, which other processes do not
change much; its memory is private memory (RssAnon) at its highest, looked at fifty times a second, because
the page cache belongs to nobody.
"""

import itertools
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np

from ..engine.encode.build import build_features
from ..engine.encode.tokens import TokenBatch, Tokens
from ..store import EncError, FeatureSpec, Source, Store
from ..store.batches import MODES
from ..store.progress import counted
from .bench_streaming import private_megabytes
from .results import Measurement, Results, machine

ROWS = (100_000, 1_000_000)
WIDTH = 32
BATCH_ROWS = 4096
PLAN_BYTES = 16  # what a plan may hold of each row; the rest is to be a constant
STEPS = {
    "build": "built",
    "again": "built again",
    "plan": "planned",
    **{f"train-{mode}": f"trained on, {mode}" for mode in MODES},
    "score": "scored",
}
_LOOKS_A_SECOND = 50


class ScaleError(EncError):
    """A step that failed."""


class FreeEncoder:
    """An encoder that costs next to nothing: the features of a text are those of its length."""

    layer_count = 1
    title = "free"
    tokens_per_batch = 1 << 16

    def __init__(self) -> None:
        self.spec = FeatureSpec(
            "free", "0" * 64, "1" * 64, hidden_size=WIDTH, layers=(1,), pooling=("mean",), max_length=8
        )

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """One token a text: its length."""
        rows = len(texts)
        ones = np.ones(rows, np.int32)
        lengths = np.fromiter(map(len, texts), np.int32, rows)
        return Tokens(
            lengths, np.zeros(rows, np.uint8), ones, ones, np.zeros(rows, np.bool_), np.arange(rows)
        )

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Nothing to load."""

    def explain(self) -> str:
        """Nothing was measured."""
        return ""

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features [rows, WIDTH]."""
        angles = np.arange(1, WIDTH + 1, dtype=np.float32)
        for batch in batches:
            yield np.sin(batch.input_ids[:, :1] * angles).astype(np.float16)


def run(
    *, rows: Sequence[int], repetitions: int, steps: Sequence[str] = tuple(STEPS), say: Callable[[str], None]
) -> Results:
    """Do every step with each number of rows, from the least on. Raises ScaleError where one fails."""
    measurements: list[Measurement] = []
    sizes = sorted(set(rows))
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="enc-bench-") as folder:
            write_rows(Path(folder) / "rows.parquet", size)
            for step in counted(steps, "repeating", len(measurements), len(sizes) * len(steps)):
                measurement = Measurement(f"{size:,} rows {STEPS[step]}", "s")
                measurements.append(measurement)
                memory, seconds = 0.0, 0.0
                for _ in range(1 if step == "build" else repetitions):
                    found = _measured(step, folder)
                    measurement.rates.append(found["cpu_seconds"])
                    memory, seconds = max(memory, found["private_mb"]), found["seconds"]
                measurement.remarks = {
                    "elapsed": f"{seconds:.1f} s",
                    "private memory": f"{memory:.0f} MB",
                    f"less {PLAN_BYTES} bytes a row": f"{memory - PLAN_BYTES * size / 2**20:.0f} MB",
                }
                say(f"{measurement.name}: {measurement.median:.2f} s of the processor, {memory:.0f} MB")
    for few, many in itertools.pairwise(sizes):
        _compare(measurements, few, many)
    settings = {"width": WIDTH, "batch rows": BATCH_ROWS, "epochs": 1, "repetitions": repetitions}
    baseline = measurements[0].name
    return Results("scale", baseline, settings, measurements, machine(), less_is_better=True)


def _compare(measurements: Sequence[Measurement], few: int, many: int) -> None:
    """Remark the exponent of the time from fewer rows to more, and the memory of each row added."""
    by_name = {measurement.name: measurement for measurement in measurements}
    for what in STEPS.values():
        fewer, more = by_name.get(f"{few:,} rows {what}"), by_name.get(f"{many:,} rows {what}")
        if not (fewer and more and fewer.median and more.median):
            continue
        exponent = math.log(more.median / fewer.median) / math.log(many / few)
        added = _megabytes(more) - _megabytes(fewer)
        more.remarks["exponent of time"] = f"{exponent:.2f}"
        more.remarks["memory of a row added"] = f"{added * 2**20 / (many - few):.0f} bytes"


def _megabytes(measurement: Measurement) -> float:
    return float(measurement.remarks["private memory"].removesuffix(" MB"))


def write_rows(path: Path, rows: int) -> None:
    """Write distinct texts of two classes to a Parquet file."""
    text = "'a room of the size ' || (hash(i) % 100000) || ' with a view, number ' || i"
    with duckdb.connect(config={"memory_limit": "500MB"}) as con:
        con.execute("SET enable_progress_bar=false")
        con.execute(
            f"COPY (SELECT {text} AS text, ['good', 'bad'][1 + i % 2] AS label FROM range({rows}) t(i)) "
            f"TO '{path}' (FORMAT parquet)"
        )


def _measured(step: str, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, step, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScaleError(f"the step '{step}' failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(step: str, folder: Path) -> dict[str, float]:
    """Do a step in this process: its seconds, those of the processor, and private memory in MB."""
    peak, finished = [private_megabytes()], threading.Event()

    def look() -> None:
        while not finished.wait(1 / _LOOKS_A_SECOND):
            peak[0] = max(peak[0], private_megabytes())

    watching = threading.Thread(target=look, name="enc-memory")
    watching.start()
    started, cpu_started = time.perf_counter(), time.process_time()
    try:
        do_step(step, folder)
    finally:
        finished.set()
        watching.join()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu_started,
        "private_mb": peak[0],
    }


def do_step(step: str, folder: Path) -> None:
    """One of STEPS. Those after ``build`` use the store of ``build``; ``score`` uses the last head."""
    rows, store = folder / "rows.parquet", folder / "store"
    if step in ("build", "again"):
        encoder = FreeEncoder()
        summary = build_features(Source(rows), store, encoder, name="free")  # type: ignore[arg-type]
        if (summary.encoded == 0) != (step == "again") or summary.rejected:
            raise ScaleError(f"{summary.encoded} of {summary.rows} rows were encoded")
    elif step == "score":
        from ..engine.heads.head import Head
        from ..engine.scoring.run import score_parquet

        score_parquet(rows, folder / "scored.parquet", Head.load(folder / "head"), store, overwrite=True)
    else:
        _train(step, rows, store, folder / "head")


def _train(step: str, rows: Path, store: Path, head: Path) -> None:
    from ..engine.train.config import TrainConfig
    from ..engine.train.examples import load_examples
    from ..engine.train.fit import fit
    from ..engine.train.validation import Fraction

    mode = step.removeprefix("train-") if step != "plan" else "streamed"
    data = load_examples(Source(rows), Store(store).open("free"), valid=Fraction(0.1), batches=mode)
    if step != "plan":
        fit(data, TrainConfig(epochs=1, batch_size=BATCH_ROWS)).save(head)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
