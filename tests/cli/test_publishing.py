"""Heads that are used elsewhere, through the commands."""

import json

import pytest

pytest.importorskip("onnx", reason="onnx is an extra and not installed")


@pytest.fixture
def train(enc, reviews, build, tmp_path):
    """Train a head; returns its folder."""

    def train(*options):
        store = build("--pooling", "mean")
        head = tmp_path / "head"
        enc("train-head", reviews, "--valid", reviews, *store, "--output", head, *options)
        return head

    return train


def test_a_folder_or_a_file_is_exported(enc, train, tmp_path):
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
    head = train("--solver", "lbfgs", "--words")
    result = enc("export-onnx", "--head", head, tmp_path / "out", code=2)
    assert result.stderr.splitlines()[-1].startswith("error: the head was trained with words")
    assert not (tmp_path / "out").exists()
    enc("export-onnx", "--head", head, tmp_path / "out", "--without-words")
    assert (tmp_path / "out" / "model.onnx").is_file()
