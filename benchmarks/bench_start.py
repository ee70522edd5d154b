"""How long whole commands take whose work is small: their start is what a user waits for.

Every contender is a process of its own, timed from its start to its end. The baseline is a process that
imports torch and does nothing. All processes run in one environment, with bytecode compiled and files
in the page cache. The commands share a store, a head and a cache folder, which are made before: the
texts are known to the store, and the backend that encodes is known to the cache.
"""

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine.backends.candidates import Candidate, candidates, likely_fastest
from ..engine.backends.memory import ChoiceMemory
from ..engine.encode.checkpoint import checkpoint_of
from ..engine.encode.devices import pick_device
from ..store import EncError
from .results import Measurement, Results, in_turn, machine

BASELINE = 'python -c "import torch"'
TRAIN_ROWS, VALID_ROWS = 512, 128
"""Labelled texts to train and to validate on; the latter are also scored."""
MAX_LENGTH = 32
_ENC = "import sys; from enc.cli.main import main; sys.exit(main(prog_name='enc'))"
"""What the installed command does."""
_WORDS = ("room", "staff", "bed", "view", "breakfast", "bath", "street", "price", "garden", "lift")
_GOOD, _BAD = ("clean", "friendly", "lovely", "quiet"), ("dirty", "rude", "broken", "noisy")


class StartError(EncError):
    """A command that failed, or did not do what is to be timed."""


@dataclass(frozen=True)
class _Command:
    """A command that is timed."""

    name: str
    words: list[str]
    """What follows `enc`."""
    target: float
    """The most that it should take, as a multiple of the baseline."""
    expected: dict[str, int] | None = None
    """What its summary must say; None for commands without one."""


def run(*, model: str, repetitions: int, say: Callable[[str], None]) -> Results:
    """Time the baseline and every command, in turn. Raises StartError where the preparation fails."""
    compile_enc()
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        environment = _environment(folder)
        say("preparing: a store, a head, and the choice of a backend")
        chosen = _prepare(folder, model, environment)
        contenders = [(Measurement(BASELINE, "s"), lambda: _seconds(["import torch"], environment))]
        for command in _commands(folder, model):
            _check(command, environment)  # this also brings its files into the page cache
            measurement = Measurement(command.name, "s", remarks={"target": f"{command.target:g}x"})
            contenders.append(
                (measurement, lambda words=command.words: _seconds([_ENC, *words], environment))
            )
        _seconds(["import torch"], environment)
        in_turn(contenders, repetitions, say)
    settings = {
        "model": Path(model).name,
        "backend in the cache": chosen.name,
        "max_length": MAX_LENGTH,
        "rows to train on": TRAIN_ROWS,
        "rows to score": VALID_ROWS,
        "repetitions": repetitions,
    }
    measurements = [measurement for measurement, _ in contenders]
    return Results("start", BASELINE, settings, measurements, machine(), less_is_better=True)


def compile_enc() -> None:
    """Compile enc's modules to bytecode, as pip does on installing, where enc's folder can be written."""
    package = Path(__file__).parents[1]
    compileall.compile_file(package / "__init__.py", quiet=2)
    for folder in ("benchmarks", "cli", "engine", "pages", "store"):
        compileall.compile_dir(package / folder, quiet=2)


def _environment(folder: Path) -> dict[str, str]:
    """The environment of all processes: this one, with a cache folder of its own, and bytecode written."""
    changed = dict(os.environ) | {"XDG_CACHE_HOME": str(folder / "cache")}
    changed.pop("PYTHONDONTWRITEBYTECODE", None)
    return changed


def _prepare(folder: Path, model: str, environment: dict[str, str]) -> Candidate:
    """Make the texts, the store and the head, and remember a choice of a backend, which is given back.

    The choice is the one that measuring mostly ends with; measuring itself would take longer than all else.
    """
    with mock.patch.dict(os.environ, environment):
        checkpoint, device = checkpoint_of(model, max_length=MAX_LENGTH), pick_device(None)
        options = candidates(checkpoint.spec.dtype, None, device)
        chosen = (options if device.startswith("cuda") else likely_fastest(options))[-1]
        ChoiceMemory(checkpoint, None, device).write(checkpoint.tokenize(make_texts(8)), chosen)
    write_texts(folder)
    train, valid, store, head = (str(folder / name) for name in ("train.tsv", "valid.tsv", "store", "head"))
    setting = ["--model", model, "--max-length", str(MAX_LENGTH)]
    _output(["build-features", train, valid, "--store", store, *setting], environment)
    _output(["train-head", train, "--valid", valid, "--store", store, "--output", head], environment)
    return chosen


def _commands(folder: Path, model: str) -> list[_Command]:
    """What is timed, and the targets."""
    names = ("train.tsv", "valid.tsv", "store", "head", "other-head", "known.parquet", "scored.parquet")
    train, valid, store, head, other_head, known, scored = (str(folder / name) for name in names)
    setting = ["--model", model, "--max-length", str(MAX_LENGTH)]
    build = ["build-features", train, valid, "--store", store, *setting, "--json"]
    score = ["score", known, scored, "--head", head, "--store", store, "--overwrite", "--json"]
    fit = ["train-head", train, "--valid", valid, "--store", store, "--output", other_head, "--json"]
    return [
        _Command("enc --help", ["--help"], 0.25),
        _Command("enc store ls", ["store", "ls", store], 0.25),
        _Command(
            "enc build-features, nothing new", build, 0.7, {"encoded": 0, "cached": TRAIN_ROWS + VALID_ROWS}
        ),
        _Command(f"enc score, {VALID_ROWS} known rows", score, 0.8, {"encoded": 0, "cached": VALID_ROWS}),
        _Command("enc predict, the backend known", ["predict", "--head", head, "A lovely room."], 1.2),
        _Command("enc train-head, linear", [*fit, "--no-report"], 2.0, {"train_rows": TRAIN_ROWS}),
        _Command(
            "enc train-head, by lbfgs",
            [*fit, "--no-report", "--solver", "lbfgs"],
            2.0,
            {"train_rows": TRAIN_ROWS},
        ),
        _Command("enc train-head, linear, with its report", fit, 2.8, {"train_rows": TRAIN_ROWS}),
    ]


def make_texts(rows: int) -> list[str]:
    """Distinct short texts; those with an even number praise, the others complain."""
    rng = np.random.default_rng(0)
    texts = []
    for number in range(rows):
        qualities = _GOOD if number % 2 == 0 else _BAD
        things, said = rng.choice(_WORDS, 2, replace=False), rng.choice(qualities, 2, replace=False)
        texts.append(f"The {things[0]} was {said[0]} and the {things[1]} {said[1]}, stay {number}.")
    return texts


def write_texts(folder: Path) -> None:
    """Write train.tsv and valid.tsv, with labels, and known.parquet, with the texts to validate on."""
    texts = make_texts(TRAIN_ROWS + VALID_ROWS)
    lines = [f"{text}\t{'bad' if number % 2 else 'good'}" for number, text in enumerate(texts)]
    for name, rows in (("train.tsv", lines[:TRAIN_ROWS]), ("valid.tsv", lines[TRAIN_ROWS:])):
        (folder / name).write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    known = {"id": list(range(VALID_ROWS)), "sentence": texts[TRAIN_ROWS:]}
    pq.write_table(pa.table(known), folder / "known.parquet")


def _check(command: _Command, environment: dict[str, str]) -> None:
    """Run a command once, and see that it does what its name says."""
    output = _output(command.words, environment)
    if command.expected is None:
        return
    summary = json.loads(output)
    found = {name: summary.get(name) for name in command.expected}
    if found != command.expected:
        raise StartError(f"{command.name}: its summary has {found}, not {command.expected}")


def _output(words: Sequence[str], environment: dict[str, str]) -> str:
    """What a command prints. Raises StartError where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", _ENC, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"enc {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def _seconds(words: Sequence[str], environment: dict[str, str]) -> float:
    """How long Python takes with a piece of code and its arguments. Raises StartError where it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", *words], env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise StartError(f"{' '.join(words)} failed: {done.stderr.strip()}")
    return seconds
