"""Two processes of torchrun train the head that one would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from enc.cli.main import main
from enc.engine import build_features
from enc.engine.heads.head import Head
from enc.store import Source
from fakes import TEXTS, FakeEncoder


@pytest.fixture
def rows(tmp_path, write) -> list[str]:
    lines = [f"{text}\t{len(text.split()) % 3}" for text in TEXTS]
    file = write("rows.tsv", "\n".join(["text\tlabel", *lines, ""]))
    build_features(Source(file), tmp_path / "store", FakeEncoder(), name="set")
    return [str(file), "--store", str(tmp_path / "store"), "--valid-fraction", "0.2", "--epochs", "3"]


def ranks(arguments: list[str], size: int = 2) -> list[subprocess.CompletedProcess[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    root = Path(__file__).parents[3]
    world = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from enc.cli.main import main; main()", *arguments]
    started = [
        subprocess.Popen(
            command, cwd=root, env={**os.environ, **world, "RANK": str(rank)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300) for process in started]
    return [
        subprocess.CompletedProcess(command, process.returncode, *output)
        for process, output in zip(started, outputs, strict=True)
    ]


def test_two_ranks_train_the_head_of_one_process(rows, tmp_path, capsys):
    kind = ["--batch-size", "17", "--head", "mlp", "--head-args", "dropout=0"]
    with pytest.raises(SystemExit) as end:
        main(["train-head", *rows, *kind, "--output", str(tmp_path / "one")])
    assert not end.value.code
    told = capsys.readouterr().out
    first, second = ranks(["train-head", *rows, *kind, "--output", str(tmp_path / "two")])
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout == ""
    assert first.stdout.count("epoch") == told.count("epoch")
    one, two = Head.load(tmp_path / "one"), Head.load(tmp_path / "two")
    for name, weights in one.weights.items():
        np.testing.assert_allclose(two.weights[name], weights, rtol=1e-4, atol=1e-5)
    for before, after in zip(one.history, two.history, strict=True):
        assert after["train_loss"] == pytest.approx(before["train_loss"], rel=1e-4)
        assert after["train_accuracy"] == pytest.approx(before["train_accuracy"], abs=0.02)
    assert json.loads((tmp_path / "two" / "head.json").read_text())["metrics"]["accuracy"] == pytest.approx(
        one.metrics["accuracy"], abs=0.07
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--solver", "lbfgs"], "torchrun trains one head by SGD or AdamW; leave out --solver lbfgs"),
        (["--folds", "3"], "leave out --sweep, --seeds, --folds"),
        (["--build"], "leave out --build"),
    ],
)
def test_what_ranks_cannot_share_is_refused(rows, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as end:
        main(["train-head", *rows, *options, "--output", str(tmp_path / "head")])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
