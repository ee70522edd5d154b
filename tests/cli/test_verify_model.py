"""`--verify-model` finds a model file that changed although its size and times say that it did not."""

import json
import shutil
from pathlib import Path

import pytest
from enc.engine.encode import digests as module
from enc.store import SourceError

LENGTH = "--max-length", 16


@pytest.fixture(autouse=True)
def settled(monkeypatch, fresh_memory):
    """As if all files had been written long ago."""
    monkeypatch.setattr(module, "_SETTLED_SECONDS", -1.0)


@pytest.fixture
def model(tiny_bert, tmp_path) -> Path:
    return shutil.copytree(tiny_bert, tmp_path / "model")


def change_unnoticed(folder: Path, tmp_path: Path) -> None:
    """Change one byte of the weights, and have the file's size and times remembered as they are now."""
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (memory,) = (tmp_path / "cache" / "enc" / "digests").iterdir()
    remembered = json.loads(memory.read_text())
    remembered[weights.name][0] = module._stamp(weights)
    memory.write_text(json.dumps(remembered))


@pytest.fixture
def store(enc, reviews, model, tmp_path) -> Path:
    enc("build-features", reviews, "--store", tmp_path / "store", "--model", model, *LENGTH, "--name", "set")
    return tmp_path / "store"


@pytest.fixture
def head(enc, reviews, store, tmp_path) -> Path:
    options = ["--store", store, "--output", tmp_path / "head", "--epochs", 1]
    enc("train-head", reviews, "--valid-fraction", 0.2, *options)
    return tmp_path / "head"


def refused(enc, *arguments) -> None:
    """Without the option, the change is not seen; with it, the model is another one."""
    enc(*arguments)
    assert "weights" in enc(*arguments, "--verify-model", code=2).stderr


def test_build_features(enc, reviews, store, model, tmp_path):
    change_unnoticed(model, tmp_path)
    refused(enc, "build-features", reviews, "--store", store, "--model", model, *LENGTH, "--name", "set")


@pytest.mark.parametrize("build", [["--build"], []], ids=["build", "features that are there"])
def test_train_head(enc, reviews, store, model, tmp_path, build):
    change_unnoticed(model, tmp_path)
    options = ["--store", store, "--output", tmp_path / "head", "--epochs", 1, *build]
    refused(enc, "train-head", reviews, "--valid-fraction", 0.2, *options)


def test_score_also_of_known_texts(enc, reviews, store, head, model, tmp_path):
    change_unnoticed(model, tmp_path)
    refused(enc, "score", reviews, tmp_path / "out.parquet", "--head", head, "--store", store)


def test_predict(enc, head, model, tmp_path):
    change_unnoticed(model, tmp_path)
    refused(enc, "predict", "--head", head, "good")


def test_export_onnx_of_a_head(enc, head, model, tmp_path):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    change_unnoticed(model, tmp_path)
    refused(enc, "export-onnx", "--head", head, tmp_path / "head.onnx")


def digests_read(monkeypatch) -> list[bool]:
    """Whether each of the digests that follow was to be computed anew."""
    asked, original = [], module.digests

    def noted(folder, *, verify=False):
        asked.append(verify)
        return original(folder, verify=verify)

    monkeypatch.setattr("enc.engine.encode.checkpoint.digests", noted)
    return asked


def test_calibrate(enc, reviews, model, monkeypatch):
    monkeypatch.setattr("enc.engine.backends.measure.SECONDS_A_ROUND", 0.01)
    asked = digests_read(monkeypatch)
    enc("calibrate", model, reviews, "--precision", "fp32", "--device", "cpu", *LENGTH, "--verify-model")
    assert asked == [True]


def test_calibrate_to_int8(enc, reviews, model, tmp_path, monkeypatch):
    pytest.importorskip("nncf", reason="quantizing needs nncf")
    monkeypatch.setattr("enc.engine.gate.sample_of", interrupted)
    asked = digests_read(monkeypatch)
    options = ["--precision", "int8", "--label-column", "label", "--output", tmp_path / "int8"]
    enc("calibrate", model, reviews, *options, *LENGTH, "--verify-model", code=2)
    assert asked == [True]


def interrupted(*_) -> None:
    raise SourceError("what comes after the model is opened takes long")


def test_export_onnx_of_a_model(enc, model, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="onnx is an extra and not installed")
    asked = digests_read(monkeypatch)
    enc("export-onnx", model, tmp_path / "model.onnx", *LENGTH, "--verify-model")
    assert asked == [True]
