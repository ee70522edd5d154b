"""What staging costs: of one process, of shares that each scan the source, and of shares by a first pass.

    python -m enc.benchmarks.bench_first_pass --rows 1000000

Texts are random and distinct, in several Parquet files, and nothing is encoded. Each step runs by itself, in
one process; its figure is the time of the processor, of all threads.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ..engine.encode.build import find_missing
from ..store import Share, Source
from ..store.duck import workspace
from ..store.first_pass import first_pass_of, stage_parts, write_part
from ..store.source_parts import parts_of
from ..store.stage import Stage, stage_source

FILES = 4
SHARES = 64
_LOOKS_A_SECOND = 20


@dataclass(frozen=True)
class Step:
    """What a step took."""

    name: str
    cpu_seconds: float
    bytes: float
    """In the temporary folder at their highest, for each row that the step is about."""
    rows: int


def write_files(folder: Path, rows: int) -> Source:
    """Write distinct texts of 60 to 250 bytes, about, to Parquet files."""
    words = "repeat('some more words ', (hash(i + 7) % 12)::INT)"
    text = f"'a room with a view ' || md5(i::VARCHAR) || ' and ' || {words} || i"
    for number in range(FILES):
        some = f"range({rows * number // FILES}, {rows * (number + 1) // FILES}) t(i)"
        duckdb.sql(f"COPY (SELECT {text} AS text FROM {some}) TO '{folder}/{number}.parquet'")
    return Source(sorted(folder.glob("*.parquet")))


def run(rows: int, folder: Path) -> tuple[list[Step], float]:
    """All steps, and how many bytes of parts there are for each row."""
    source = write_files(folder, rows)
    first_pass = first_pass_of(source, folder / "store", "set", "0" * 64)
    steps: list[Step] = []

    def staged(name: str, count: int, stage: Callable[[duckdb.DuckDBPyConnection], Stage]) -> int:
        def step() -> None:
            with workspace() as con:
                found.append(find_missing(stage(con), []).distinct)
                time.sleep(2 / _LOOKS_A_SECOND)  # so that the folder is looked at when it is full

        found: list[int] = []
        steps.append(_measured(name, count, step, folder / "temporary"))
        return found[0]

    def scan(share: Share) -> Callable[[duckdb.DuckDBPyConnection], Stage]:
        return lambda con: stage_source(con, source, share=share)

    def read(share: Share) -> Callable[[duckdb.DuckDBPyConnection], Stage]:
        return lambda con: stage_parts(con, source, first_pass, share)

    assert staged("one process", rows, scan(Share())) == rows
    for count in (2, SHARES):
        staged(f"a share of {count}, scanning", rows // count, scan(Share(1, count)))

    def write_parts() -> None:
        for part, file in parts_of(source, first_pass.place).items():
            write_part(source, first_pass.folder, part, file)

    steps.append(_measured("the first pass", rows // FILES, write_parts, folder / "temporary"))
    for count in (2, SHARES):
        staged(f"a share of {count}, of the first pass", rows // count, read(Share(1, count)))
    size = sum((first_pass.place / part).stat().st_size for part in first_pass.parts)
    return steps, size / rows


def _measured(name: str, rows: int, step: Callable[[], None], folder: Path) -> Step:
    folder.mkdir(exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    peak, finished = [0], threading.Event()

    def look() -> None:
        while not finished.wait(1 / _LOOKS_A_SECOND):
            sizes = [_size(path) for path in folder.rglob("*")]
            peak[0] = max(peak[0], sum(sizes))

    looking = threading.Thread(target=look)
    looking.start()
    started = time.process_time()
    try:
        step()
    finally:
        seconds = time.process_time() - started
        finished.set()
        looking.join()
        tempfile.tempdir = before
    return Step(name, seconds, peak[0] / rows, rows)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it has just been removed
        return 0


def report(rows: int, steps: list[Step], part_bytes: float) -> str:
    """The steps as a table in Markdown."""
    lines = [
        f"{rows:,} distinct texts in {FILES} Parquet files; parts have {part_bytes:.0f} bytes a text.",
        "",
        "| step | processor seconds | temporary bytes a row of it |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {one.name} | {one.cpu_seconds:.2f} | {one.bytes:.0f} |" for one in steps]
    return "\n".join(lines)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as folder:
        print(report(given.rows, *run(given.rows, Path(folder))))


if __name__ == "__main__":
    main()
