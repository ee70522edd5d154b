"""Heads of upper layers through the commands: trained, scored, merged, and refused in one line."""

import json

import pyarrow.parquet as pq
import pytest
from upper_layers import write_rows


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.tsv").paths[0]


@pytest.fixture
def store(enc, rows, tiny_bert, tmp_path):
    setting = ("--pooling", "tokens", "--max-length", 24, "--backend", "torch")
    options = ("--store", tmp_path / "store")
    enc("build-features", rows, "--model", tiny_bert, *setting, "--layers", "1,2", *options)
    return options


def test_trained_scored_and_merged(enc, rows, store, tmp_path):
    head, merged = tmp_path / "head", tmp_path / "merged"
    trained = enc(
        "train-head", rows, "--valid", rows, *store, "--use", "layers=1", "--head", "encoder", "--head-args",
        "layers=1", "--epochs", 2, "--output", head,
    )  # fmt: skip
    assert "parameters, most of them pre-trained" in trained.stdout
    saved = json.loads((head / "head.json").read_text())
    asked = saved["record"]["config"]
    assert (asked["learning_rate"], asked["batch_size"], asked["schedule"]) == (1e-4, 16, "linear")
    assert saved["arguments"]["config"]["num_hidden_layers"] == 2
    evaluated = json.loads(enc("evaluate", head, rows, *store, "--json").stdout)["figures"]["metrics"]
    assert evaluated["accuracy"] == pytest.approx(json.loads((head / "metrics.json").read_text())["accuracy"])
    out = json.loads(enc("merge-head", head, merged, "--json").stdout)
    assert (out["layers_below"], out["layers_above"]) == (1, 1)
    for name, model in (("a", ("--head", head)), ("b", ("--model", merged))):
        enc("score", rows, tmp_path / f"{name}.parquet", *model, *store)
    found = [pq.read_table(tmp_path / f"{name}.parquet").column("prediction").to_pylist() for name in "ab"]
    assert sum(one == other for one, other in zip(*found, strict=True)) >= len(found[0]) - 2
    assert "is there already" in enc("merge-head", head, merged, code=2).stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--use", "layers=2"), "the last of 2 layers, which leaves none"),
        ((), "these are of 2 layers; choose one with --use layers=1"),
        (("--use", "layers=1", "--head-args", "layers=5"), "leaves 1 for head 'encoder', not 5"),
        (("--use", "layers=1", "--head-args", "depth=5"), "no argument 'depth'"),
        (("--use", "layers=1", "--optimizer", "sgd"), "trained by adamw"),
    ],
)
def test_mistakes_are_one_line(enc, rows, store, tmp_path, options, problem):
    failed = enc(
        "train-head", rows, "--valid", rows, *store, "--head", "encoder", "--output", tmp_path / "h",
        *options, code=2,
    )  # fmt: skip
    assert problem in failed.stderr
    assert not (tmp_path / "h").exists()


def test_layers_are_merged_without_words(enc, rows, store, tmp_path):
    head, merged = tmp_path / "head", tmp_path / "merged"
    asked = ("--use", "layers=1", "--head", "encoder", "--epochs", 1, "--words")
    enc("train-head", rows, "--valid", rows, *store, *asked, "--output", head)
    assert "pass --without-words" in enc("merge-head", head, merged, code=2).stderr
    enc("merge-head", head, merged, "--without-words")
    assert json.loads((merged / "enc.json").read_text())["metrics"] == {}
    assert (merged / "model.safetensors").is_file()
