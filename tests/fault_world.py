"""A store, texts and a head, real commands as subprocesses, and what must hold after any kill.

A command is killed at a seeded point: at the n-th time it opens, renames, removes or makes a file of its
world (an audit hook of the interpreter counts), a seeded time after the first of these, or at any time.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from enc.store import FeatureTable, Store

TEXTS = 240
SHARD_BYTES = 3000  # so that a run commits several times

DRIVER = """
import os, signal, sys, threading
place, kind, number, shard_bytes = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
seen = 0
def die(): os.kill(os.getpid(), signal.SIGKILL)
def watch(event, arguments):
    global seen
    if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"): return
    if not any(isinstance(a, (str, bytes)) and place in os.fsdecode(a) for a in arguments): return
    seen += 1
    if kind == "event" and seen == int(number): die()
    if kind == "time" and seen == 1: threading.Thread(
        target=lambda: (threading.Event().wait(number), die()), daemon=True).start()
if kind != "none": sys.addaudithook(watch)
import enc.store.writer
enc.store.writer.SHARD_BYTES = shard_bytes
if "build-features" in sys.argv:
    import enc.engine.encode.windows as windows
    windows.FIRST_WINDOW_ROWS = windows.WINDOW_ROWS = 40
if "score" in sys.argv:
    import enc.engine.encode.build as build
    import enc.engine.encode.windows as windows
    import enc.engine.scoring.batches_of_ids as batches_of_ids
    import enc.engine.scoring.output as output
    import enc.engine.scoring.unfinished as unfinished
    import enc.engine.scoring.writing as writing
    windows.FIRST_WINDOW_ROWS, windows.WINDOW_ROWS, build.WINDOW_SECONDS = 16, 40, 0.0
    batches_of_ids.BATCH_ROWS, writing.PART_SECONDS, output.ROW_GROUP_ROWS = 16, 0.0, 32
    log = os.environ.get("ENC_TEST_LOG", os.devnull)
    def tell(line):
        with open(log, "a") as file: print(line, file=file)
    add, scored = unfinished.Unfinished.add, writing.Writing._scored
    def added(self, job, finished):
        add(self, job, finished)
        tell(f"part {job} {finished.batches}")
    def scored_batches(self, skipped, rows):
        for number, found in enumerate(scored(self, skipped, rows), skipped):
            tell(f"scored {self._number} {number}")
            yield found
    unfinished.Unfinished.add, writing.Writing._scored = added, scored_batches
    import atexit
    atexit.register(lambda: tell(f"events of {seen}"))
from enc.cli.main import main
main(sys.argv[5:], prog_name="enc")
"""


@dataclass
class World:
    """One store and what is known of it."""

    folder: Path
    model: Path
    features: dict[bytes, bytes] = field(default_factory=dict)
    """What readers got for each key so far."""
    doomed: set[bytes] = field(default_factory=set)
    """Keys that a delete, finished or not, was asked to delete and that no build was asked for since."""
    encoded_twice: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        lines = [f"{'good' if n % 2 else 'bad'} {n} {'x' * (n % 17)}\t{n % 2}" for n in range(TEXTS)]
        self.source.write_text("sentence\tlabel\n" + "\n".join(lines) + "\n")
        (self.folder / "asked.tsv").write_text("sentence\n" + "\n".join(x.split("\t")[0] for x in lines[:20]))
        duckdb.sql(
            f"COPY (FROM read_csv('{self.source}', delim='\\t', all_varchar=true)) "
            f"TO '{self.folder}/in.parquet' (FORMAT parquet)"
        )
        self.asked = {row[0] for row in self._keys(self.folder / "asked.tsv")}
        self.keys = {row[0] for row in self._keys(self.source)}

    def _keys(self, path: Path) -> list[tuple[bytes]]:
        from enc.store.plan import key_sql

        scan = f"read_csv('{path}', delim='\\t', header=true, quote='', all_varchar=true)"
        return duckdb.sql(f"SELECT {key_sql('sentence')} FROM {scan}").fetchall()

    @property
    def source(self) -> Path:
        return self.folder / "texts.tsv"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def set_folder(self) -> Path:
        return self.store / "set"

    def arguments(self, command: str) -> list[str]:
        store = ["--store", str(self.store)]
        return {
            "build": ["build-features", str(self.source), *store, "--name", "set", "--model", str(self.model),
                      "--max-length", "16", "--backend", "onnx", "--precision", "fp32", "--json"],
            "train": ["train-head", str(self.source), "--valid-fraction", "0.3", *store, "--features", "set",
                      "--output", str(self.folder / "head"), "--epochs", "2"],
            "score": ["score", str(self.folder / "in.parquet"), str(self.folder / "out.parquet"),
                      "--head", str(self.folder / "head"), *store, "--json"],
            "compact": ["store", "compact", str(self.store), "--json"],
            "vacuum": ["store", "vacuum", str(self.store), "--retain", "0", "--json"],
            "delete": ["store", "delete", str(self.store), "--keys-from", str(self.folder / "asked.tsv"),
                       "--json"],
            "verify": ["store", "verify", str(self.store), "--json"],
        }[command]  # fmt: skip

    def start(self, command: str, kind: str = "none", number: float = 0) -> subprocess.Popen[str]:
        """Start a command; compacting makes one shard of what building makes several of."""
        size = SHARD_BYTES if command == "build" else SHARD_BYTES * 20
        place = str(self.folder)
        environment = os.environ | {"TMPDIR": str(self.folder / "tmp"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, place, kind, str(number), str(size), *self.arguments(command)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def run(self, command: str, code: int = 0) -> str:
        """Run a command to its end; returns what it printed."""
        process = self.start(command)
        out, err = process.communicate()
        assert process.returncode == code, f"{command}: {process.returncode}\n{out}\n{err}"
        return out

    def run_and_kill(self, command: str, chosen: random.Random) -> tuple[str, bool]:
        """Run a command and kill it at a chosen point: the kind of point, and whether it was killed."""
        kind = chosen.choices(["event", "time", "any"], [5, 4, 1])[0]
        number = chosen.randint(1, 60) if kind == "event" else chosen.uniform(0, 1.2)
        process = self.start(command, kind, number)
        if kind == "any":
            time.sleep(chosen.uniform(0, 4))
            process.kill()
        out, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), f"{command} {kind} {number}\n{out}\n{err}"
        return kind, process.returncode != 0

    def check(self, after: str) -> None:
        """What must hold at any time: the store opens, and every committed row is there, once and intact."""
        if after == "delete":
            self.doomed |= self.asked
        if not (self.set_folder / "_delta_log" / f"{0:020}.json").exists():
            assert not self.features
            return
        found = rows_of(FeatureTable(self.set_folder))
        keys = [key for key, _ in found]
        assert len(keys) == len(set(keys)), f"a row is there twice after {after}"
        now = dict(found)
        for key, features in self.features.items():
            if key in now:
                assert now[key] == features, f"features differ after {after}"
            else:
                assert key in self.doomed, f"a committed row is lost after {after}"
        self.features = now

    def finish(self) -> None:
        """What must hold after all: a build goes on where it was, and nothing is left behind."""
        before = set(self.features)
        summary = json.loads(self.run("build").splitlines()[-1])
        assert summary["encoded"] == len(self.keys - before)
        self.doomed.clear()
        self.check("build")
        assert set(self.features) == self.keys
        self.run("verify")
        self.run("vacuum")
        self.check("vacuum")
        current = {Path(shard.path).name for shard in FeatureTable(self.set_folder).logged}
        assert {path.name for path in self.set_folder.glob("*.parquet")} == current
        assert not [path for path in (self.folder / "tmp").iterdir() if (path / ".owner").exists()]

    def size_of_temporary(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "tmp").rglob("*") if path.is_file())


def rows_of(table: FeatureTable) -> list[tuple[bytes, bytes]]:
    """Keys and features of all rows of a table, which are verified."""
    rows: list[tuple[bytes, bytes]] = []
    for shard in table.shards:
        content = pq.read_table(shard, columns=["key", "features"], page_checksum_verification=True)
        rows += zip(content.column(0).to_pylist(), content.column(1).to_pylist(), strict=True)
    return rows


def is_open(store: Path) -> bool:
    """Whether a store has a feature set."""
    return store.exists() and bool(Store(store).feature_sets())
