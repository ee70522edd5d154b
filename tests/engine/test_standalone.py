"""An exported folder gives enc's probabilities where neither enc nor torch can be imported."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from enc.engine import TrainConfig, build_features, load_encoder_of, predict_texts, train_head
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.standalone import export_folder
from enc.engine.sweep.search import search
from enc.store import HeadError, Source, Store
from upper_layers import write_rows

pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")
pytest.importorskip("onnx", reason="onnx is an extra and not installed")

TEXTS = ["a b c good", "h", "g g g g e e d a b c d e f g h a b bad, g h! 酒店很好 " * 2]
FILES = {"model.onnx", "tokenizer.json", "config.json", "example.py"}


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """Run a Python program that finds onnxruntime, tokenizers and NumPy, and nothing else."""
    site = tmp_path_factory.mktemp("site")
    for name in ("onnxruntime", "tokenizers", "numpy"):
        spec = find_spec(name)
        assert spec is not None
        package = Path(str(spec.origin)).parent
        for folder in (package, package.with_name(f"{name}.libs")):
            if folder.is_dir():
                (site / folder.name).symlink_to(folder)
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONIOENCODING": "utf-8"}

    def run(*arguments) -> str:
        command = [sys.executable, "-S", *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def source(tmp_path):
    return write_rows(tmp_path / "rows.tsv")


def trained(source, model, store, kind="linear", rows=None, **setting):
    from enc.engine import load_encoder

    encoder = load_encoder(model, backend="torch", precision="fp32", **setting)
    build_features(source, store, encoder, name="set")
    config = TrainConfig.of(kind, epochs=2, batch_size=8, learning_rate=0.03)
    return train_head(source, Store(store).open("set"), valid=source, config=config, **rows or {})


def given_by(run, folder, head, texts) -> np.ndarray:
    lines = [json.loads(line) for line in run(folder / "example.py", *texts).splitlines()]
    if not head.task.has_classes:
        return np.array(lines)
    assert all(list(line) == [str(label) for label in head.labels.values] for line in lines)
    return np.array([list(line.values()) for line in lines])


def expected_of(head, texts, pairs=None) -> np.ndarray:
    encoder = load_encoder_of(head.spec, backend="torch", precision="fp32")
    found = predict_texts(head, texts, encoder, pairs)
    if not head.task.has_classes:
        return np.array([one.value for one in found])
    return np.array([[one.proba[label] for label in head.labels.values] for one in found])


def test_what_cannot_be_imported_there(alone):
    names = ["enc", "torch", "transformers", "click", "onnx", "huggingface_hub", "tokenizers"]
    code = f"import importlib.util as u; print([bool(u.find_spec(name)) for name in {names}])"
    assert json.loads(alone("-c", code).lower()) == [False] * 6 + [True]


FLAT = dict(
    pooling="tokens", max_length=12, first_characters=9, special_tokens=False, padding_side="left",
    attention_mask=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "setting", "rows"),
    [
        ("linear", dict(pooling="mean,max", max_length=24), {}),
        ("linear", dict(pooling="cls", max_length=24, prefix="query: ", first_characters=20), {}),
        ("linear", FLAT, {}),
        ("mlp", dict(pooling="mean", max_length=16), dict(label_column="tags", task="multi-label")),
        ("cnn", dict(pooling="tokens", max_length=24), dict(label_column="stars", task="regression")),
        ("encoder", dict(pooling="tokens", layers="1", max_length=24), {}),
    ],
    ids=["pooled", "prefix", "flat", "multi-label", "regression", "encoder"],
)
def test_it_gives_what_enc_gives(alone, source, tiny_bert, tmp_path, kind, setting, rows):
    head = trained(source, tiny_bert, tmp_path / "store", kind, rows, **setting)
    export = export_folder(tiny_bert, tmp_path / "out", head)
    assert export.difference < 1e-3
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    np.testing.assert_allclose(
        given_by(alone, tmp_path / "out", head, TEXTS), expected_of(head, TEXTS), atol=1e-4
    )
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert saved["task"] == head.task.name
    names = [str(label) for label in head.labels.values]
    assert saved.get("id2label", {}) == {str(number): name for number, name in enumerate(names)}
    assert saved.get("label2id", {}) == {name: number for number, name in enumerate(names)}
    assert saved["max_length"] == setting["max_length"]
    assert len((tmp_path / "out" / "example.py").read_text().splitlines()) <= 15


@pytest.mark.parametrize("model_type", ["bert", "roberta"])
def test_pairs_are_cut_as_enc_cuts_them(alone, tiny_model, tmp_path, write, model_type):
    rows = "".join(f"{'a b c ' * (i % 7)}x\t{'good ' * (i % 5)}y\t{i % 2}\n" for i in range(20))
    source = Source(write("t.tsv", "a\tb\tlabel\n" + rows), text_column="a", pair_column="b")
    head = trained(source, tiny_model(model_type), tmp_path / "store", pooling="mean", max_length=15)
    export_folder(head.spec.model, tmp_path / "out", head)
    firsts, seconds = (
        ["a b c", "a b c d e f g h " * 3, "good"],
        ["x y", "good bad", "a b c d e f g h i j k l"],
    )
    given = given_by(
        alone, tmp_path / "out", head, [one for pair in zip(firsts, seconds, strict=True) for one in pair]
    )
    np.testing.assert_allclose(given, expected_of(head, firsts, seconds), atol=1e-4)


def test_lower_case_and_an_ensemble(alone, source, tiny_bert, tmp_path):
    setting = dict(pooling="mean", max_length=24, lowercase=True)
    head = trained(source, tiny_bert, tmp_path / "store", **setting)
    table = Store(tmp_path / "store").open("set")
    config = TrainConfig(epochs=2, learning_rate=0.03)
    head = search(source, table, grid={}, seeds=2, ensemble=True, valid=source, config=config).head
    assert head.members == 2
    export_folder(checkpoint_of(tiny_bert, **head.spec.setting), tmp_path / "out", head)
    texts = ["GOOD A B", "İ Straße"]
    np.testing.assert_allclose(
        given_by(alone, tmp_path / "out", head, texts), expected_of(head, texts), atol=1e-4
    )


def test_windows_are_refused(source, tiny_bert, tmp_path):
    head = trained(source, tiny_bert, tmp_path / "store", pooling="mean", max_length=8, long_text="windows")
    with pytest.raises(HeadError, match=r"encoded in windows.*--long-text truncate"):
        export_folder(tiny_bert, tmp_path / "out", head)
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_export_is_replaced(source, tiny_bert, tmp_path):
    head = trained(source, tiny_bert, tmp_path / "store", pooling="mean", max_length=16)
    out = tmp_path / "out"
    out.mkdir()
    for _ in range(2):
        export_folder(tiny_bert, out, head)
        assert {path.name for path in out.iterdir()} == FILES
    (out / "mine.txt").write_text("mine")
    with pytest.raises(HeadError, match=r"not a folder that export-onnx wrote"):
        export_folder(tiny_bert, out, head)
    (out / "mine.txt").unlink()
    (out / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(HeadError, match=r"not a folder that export-onnx wrote"):
        export_folder(tiny_bert, out, head)
    with pytest.raises(HeadError, match=r"not a folder that export-onnx wrote"):
        export_folder(tiny_bert, out / "config.json", head)
