"""A score that is killed at seeded points and begun again writes what a whole run writes, byte for byte.

ENC_FAULTS=N runs N / 5 kills in place of a few; see the Makefile's target `faults`.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_world import DRIVER

KILLS = max(3, int(os.environ.get("ENC_FAULTS", "0")) // 5)
KILLS_A_TEST = 12
WAYS = ["a file", "a folder", "a file, no store", "a folder, no store", "a query", "another format"]
ROWS = 230


@pytest.fixture(scope="module")
def base(tmp_path_factory, tiny_bert) -> Path:
    """Inputs, a head, and a store with a part of the inputs' texts."""
    folder = tmp_path_factory.mktemp("base")
    made = random.Random(0)
    texts = [f"{made.choice('abcdefgh')} {n % 150} {'x y ' * made.randint(0, 5)}" for n in range(ROWS)]
    rows = [{"id": n, "sentence": text, "label": n % 2} for n, text in enumerate(texts)]
    rows[7]["sentence"] = rows[100]["sentence"] = " "
    (folder / "in").mkdir()
    for name, part in {"a": rows[:150], "b": rows[150:]}.items():
        pq.write_table(pa.Table.from_pylist(part), folder / "in" / f"{name}.parquet", row_group_size=60)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows[:60]), folder / "train.parquet")
    train, store, name = str(folder / "train.parquet"), ["--store", str(folder / "store")], ["--name", "set"]
    setting = ["--max-length", "16", "--dtype", "float32", "--backend", "onnx", "--precision", "fp32"]
    run(folder, ["build-features", train, *store, *name, "--model", str(tiny_bert), *setting])
    options = ["--valid-fraction", "0.3", "--features", "set", "--epochs", "2"]
    run(folder, ["train-head", train, *store, *options, "--output", str(folder / "head")])
    return folder


def start(folder: Path, arguments: list[str], kind="none", number=0.0, log: Path | None = None):
    environment = os.environ | {
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "ENC_TEST_LOG": str(log or os.devnull),
    }
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder), kind, str(number), "3000", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def run(folder: Path, arguments: list[str]) -> str:
    process = start(folder, arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def score_arguments(base: Path, folder: Path, way: str) -> list[str]:
    inputs = [str(base / "rows.jsonl") if way == "another format" else str(base / "in")]
    query: list[str] = []
    if way == "a query":
        inputs = [str(base / "in" / "a.parquet")]
        query = ["--query", f"SELECT * FROM '{inputs[0]}' ORDER BY sentence, id"]
    output = f"{folder / 'out'}/" if "folder" in way else str(folder / "out.parquet")
    store = [] if "no store" in way else ["--store", str(folder / "store")]
    options = ["--proba", "--label-column", "label", "--backend", "onnx", "--json"]
    return ["score", *inputs, output, "--head", str(base / "head"), *store, *query, *options]


def begun(base: Path, folder: Path, way: str) -> Path:
    folder.mkdir()
    if "no store" not in way:
        shutil.copytree(base / "store", folder / "store")
    return folder


def outputs_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("out*"))
        if path.is_file() and "enc-part" not in str(path)
    } | {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "out").glob("*.parquet"))
    }  # fmt: skip


def counts_of(printed: str) -> dict:
    summary = json.loads(printed.splitlines()[-1])
    return {
        name: value for name, value in summary.items() if name not in ("seconds", "outputs", "rejects_file")
    }


def require_nothing_done_twice(log: Path) -> int:
    """Rows before a part that is on the disk are not scored again; returns the batches that were."""
    begins: dict[str, int] = {}
    batches = 0
    for line in log.read_text().splitlines():
        what, job, number = line.split()
        if what == "part":
            begins[job] = int(number)
        elif what == "scored":
            batches += 1
            assert int(number) >= begins.get(job, 0), line
    return batches


@pytest.fixture(scope="module")
def wholes() -> dict[str, tuple[dict[str, bytes], dict, int]]:
    """What a whole run writes and prints, and how often it opens or moves a file, by way."""
    return {}


@pytest.mark.parametrize("number", range(-(-KILLS // KILLS_A_TEST)))
def test_a_killed_score_goes_on(base, tmp_path, wholes, number):
    seed = int(os.environ.get("ENC_FAULTS_SEED", "0")) + number
    chosen, way, counts = random.Random(seed), WAYS[seed % len(WAYS)], Counter()
    if way not in wholes:
        whole, log = begun(base, tmp_path / "whole", way), tmp_path / "whole log"
        process = start(whole, score_arguments(base, whole, way), "event", 1e9, log)
        printed, err = process.communicate()
        assert process.returncode == 0, err
        wholes[way] = outputs_of(whole), counts_of(printed), int(log.read_text().split()[-1])
    kills = min(KILLS_A_TEST, KILLS - number * KILLS_A_TEST)
    while counts["kills"] < kills:
        folder = begun(base, tmp_path / f"outputs {counts['outputs']}", way)
        counts["outputs"] += 1
        kill_and_finish(base, folder, way, wholes[way], chosen, kills, counts)
    report = os.environ.get("ENC_FAULTS_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:
            file.write(json.dumps({"seed": seed, "way": way, **counts}) + "\n")


def kill_and_finish(base, folder, way, whole, chosen, kills, counts) -> None:
    """Begin one output again and again until it is there: killed, or, after so many kills, left alone."""
    expected, expected_counts, events = whole
    log = folder / "log"
    log.touch()
    while True:
        kind, number = "none", 0.0
        if counts["kills"] < kills:
            kind = chosen.choices(["event", "time", "any"], [6, 4, 1])[0]
            number = chosen.randint(1, events) if kind == "event" else chosen.uniform(0, 1.5)
        process = start(folder, score_arguments(base, folder, way), kind, number, log)
        if kind == "any":
            time.sleep(chosen.uniform(0, 4))
            process.kill()
        out, err = process.communicate()
        for name, content in outputs_of(folder).items():  # whole, or not at all
            assert content == expected[name], name
        if process.returncode == 2:  # it was killed when all was written, and before it could say so
            assert "is there already" in err
            counts["after the end"] += 1
            break
        if process.returncode == 0:
            assert counts_of(out) == expected_counts
            break
        assert process.returncode == -signal.SIGKILL, err
        counts["kills"] += 1
        counts[kind] += 1
    assert outputs_of(folder) == expected
    assert not [path for path in folder.rglob("*enc-part*") if (path / "journal").exists()]
    counts["batches"] += require_nothing_done_twice(log)
