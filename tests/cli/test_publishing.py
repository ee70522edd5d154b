"""Heads that are used elsewhere, through the commands."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from fake_hub import TOKEN, point_at, running_hub


@pytest.fixture
def train(enc, reviews, build, tmp_path):
    """Train a head; returns its folder."""

    def train(*options):
        store = build("--pooling", "mean")
        head = tmp_path / "head"
        enc("train-head", reviews, "--valid", reviews, *store, "--output", head, *options)
        return head

    return train


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as hub:
        point_at(hub, monkeypatch, tmp_path / "home")
        yield hub


def test_a_folder_or_a_file_is_exported(enc, train, tmp_path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    head = train("--epochs", 2)
    result = enc("export-onnx", "--head", head, tmp_path / "out")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["config.json", "example.py", "model.onnx", "tokenizer.json"]
    assert f"try it: python {tmp_path / 'out' / 'example.py'}" in result.stdout
    size = json.loads(enc("export-onnx", "--head", head, tmp_path / "out", "--json").stdout)["bytes"]
    assert size == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    enc("export-onnx", "--head", head, tmp_path / "head.onnx")
    assert (tmp_path / "head.onnx").is_file()


def test_words_stay_outside_a_folder(enc, train, tmp_path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    head = train("--solver", "lbfgs", "--words")
    result = enc("export-onnx", "--head", head, tmp_path / "out", code=2)
    assert result.stderr.splitlines()[-1].startswith("error: the head was trained with words")
    assert not (tmp_path / "out").exists()
    enc("export-onnx", "--head", head, tmp_path / "out", "--without-words")
    assert (tmp_path / "out" / "model.onnx").is_file()


def test_every_command_with_a_head_takes_one_of_the_hub(enc, train, hub, reviews, tiny_bert, tmp_path):
    head, model = train("--epochs", 2), ("--model", tiny_bert)
    pushed = enc("push", head, "me/reviews")
    assert "pushed: http://127.0.0.1" in pushed.stdout
    assert "public" in pushed.stdout
    assert "note: the encoder is known as 'tiny-bert'" in pushed.stderr
    name, store = "hf://me/reviews", ("--store", tmp_path / "store")
    scored, predicted, judged = [], [], []
    for one in (head, name):
        enc("score", reviews, tmp_path / "scored.parquet", "--overwrite", "--head", one, *model, *store)
        scored.append(pq.read_table(tmp_path / "scored.parquet"))
        predicted.append(enc("predict", "--head", one, *model, "good bad 1").stdout)
        figures = json.loads(enc("evaluate", one, reviews, *model, *store, "--json").stdout)
        judged.append({key: value for key, value in figures.items() if key != "seconds"})
    assert scored[0].equals(scored[1])
    assert predicted[0] == predicted[1]
    assert judged[0] == judged[1]
    enc("score", reviews, tmp_path / "two.parquet", "--head", name, "--head", head, *model, *store)
    assert "reviews_prediction" in pq.read_schema(tmp_path / "two.parquet").names
    pool = tmp_path / "pool.parquet"
    pq.write_table(pq.read_table(reviews).select(["text"]), pool)
    enc("next", pool, "--head", name, "--count", 5, "--output", tmp_path / "to-label.tsv", *model, *store)
    enc("report", name, head, "--output", tmp_path / "report")
    assert "reviews" in (tmp_path / "report" / "report.html").read_text()
    enc("export-head", name, tmp_path / "head.pth")
    result = enc("rerun", name, code=2)
    assert "error: 'hf://me/reviews' does not record the command that made it" in result.stderr
    result = enc("merge-head", name, tmp_path / "merged", code=2)
    assert "it is of kind 'linear'" in result.stderr
    result = enc("export-onnx", "--head", name, tmp_path / "exported", code=2)
    assert "a local folder or 'minilm' will do" in result.stderr  # the hub has no tiny-bert


def test_a_push_through_the_environment(train, hub, tmp_path):
    """The hub's library reads its variables when it is imported."""
    head = train("--epochs", 2)
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"),
                   "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}  # fmt: skip

    def run(*arguments, **changes):
        command = [sys.executable, "-c", "from enc.cli.main import main; main()", *map(str, arguments)]
        return subprocess.run(command, env=environment | changes, capture_output=True, text=True, check=False)

    done = run("push", head, "me/reviews", "--private", "--json")
    assert (done.returncode, json.loads(done.stdout)["private"]) == (0, True), done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert {"head.json", "head.safetensors"} <= {*hub.repositories["me/reviews"].files()}
    done = run("push", head, "me/reviews", "--debug", HF_TOKEN="hf_wrong")
    assert done.returncode == 2
    assert "refuses your token" in done.stderr
    assert "hf_wrong" not in done.stderr
    done = run("predict", "--head", "hf://me/reviews", "good", HF_TOKEN="")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    done = run("predict", "--head", "hf://me/reviews", "good", HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert done.stderr == "error: 'hf://me/reviews' is not in the hub's cache, and HF_HUB_OFFLINE is set\n"
