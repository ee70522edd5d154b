"""Exported graphs in plain onnxruntime, against torch."""

import json

import numpy as np
import pytest
from enc.engine import Head, TrainConfig, build_features, encode_texts, load_encoder, train_head
from enc.engine.checkpoint import checkpoint_of
from enc.engine.onnx_export import INPUTS, export_onnx
from enc.store import ModelError, Source, SpecError, open_feature_set

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx", reason="onnx is an extra and not installed")

TEXTS = ["a good hotel", "x", "no. no. no. " * 5]


def run(path, tokens):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batch = tokens.batch(np.arange(len(tokens)))
    names = [i.name for i in session.get_inputs()]
    assert set(names) <= set(INPUTS)
    return session, session.run(None, {name: getattr(batch, name) for name in names})[0]


@pytest.mark.parametrize("options", [dict(), dict(pooling="cls,max", layers="1-2"), dict(pooling="tokens")])
def test_features(tiny_bert, tmp_path, options):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32, dtype="float32", **options)
    assert export_onnx(checkpoint, tmp_path / "out" / "model.onnx") < 1e-5
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.onnx"]
    session, features = run(tmp_path / "out" / "model.onnx", checkpoint.tokenizer(TEXTS))
    encoder = load_encoder(str(tiny_bert), max_length=32, dtype="float32", backend="torch", **options)
    expected = encode_texts(encoder, TEXTS)
    if options.get("pooling") == "tokens":
        expected = expected[:, : features.shape[1]]
    np.testing.assert_allclose(features, expected, atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["enc.spec"])["digest"] == checkpoint.spec.digest


def test_a_head_with_its_encoder(tiny_bert, tmp_path, write):
    path = write("t.tsv", "text\tlabel\n" + "\n".join(f"{'good' if i % 2 else 'bad'} {i}\t{i % 2}" for i in range(20)))
    encoder = load_encoder(str(tiny_bert), max_length=32)
    build_features(Source(path), tmp_path / "store", encoder)
    head = train_head(Source(path), open_feature_set(tmp_path / "store"), valid=Source(path), config=TrainConfig(epochs=2))
    head = Head.load(head.save(tmp_path / "head"))
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    export_onnx(checkpoint, tmp_path / "head.onnx", head=head)
    session, probabilities = run(tmp_path / "head.onnx", checkpoint.tokenizer(TEXTS))
    # The head was trained on float16 features; the graph hands it float32.
    np.testing.assert_allclose(probabilities, head.predict_proba(encode_texts(encoder, TEXTS)), atol=5e-3)
    assert json.loads(session.get_modelmeta().custom_metadata_map["enc.labels"]) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "pooling", "options"),
    [
        ("mlp", "mean", dict(label_column=["a", "b"])),
        ("linear", "cls,max", dict(label_column="number", task="regression")),
        ("linear", "tokens", dict(label_column="a")),
        ("cnn", "tokens", dict(label_column=["a", "b"])),
        ("attention", "tokens", dict(label_column="number", task="regression")),
        ("lstm", "tokens", dict(label_column="a")),
    ],
)
def test_every_task_and_head(tiny_bert, tmp_path, write, kind, pooling, options):
    rows = (f"{'good ' * (1 + i % 5)}{i}\t{i % 2}\t{i % 3 // 2}\t{1000.5 * i}" for i in range(20))
    path = write("t.tsv", "text\ta\tb\tnumber\n" + "\n".join(rows) + "\n")
    settings = dict(max_length=32, pooling=pooling, dtype="float32", layers="1-2")
    encoder = load_encoder(str(tiny_bert), backend="torch", **settings)
    build_features(Source(path), tmp_path / "store", encoder)
    config = TrainConfig(epochs=2, head=kind)
    table = open_feature_set(tmp_path / "store")
    use = table.spec.select(layers=[2])
    head = train_head(Source(path), table, valid=Source(path), config=config, use=use, **options)
    checkpoint = checkpoint_of(str(tiny_bert), **(settings | dict(layers="2")))
    assert export_onnx(checkpoint, tmp_path / "head.onnx", head=head) < 1e-3
    session, given = run(tmp_path / "head.onnx", checkpoint.tokenizer(TEXTS))
    alone = load_encoder(str(tiny_bert), backend="torch", **(settings | dict(layers="2")))
    expected = head.outputs(encode_texts(alone, TEXTS))
    regression = options.get("task") == "regression"
    assert session.get_outputs()[0].name == ("predictions" if regression else "probabilities")
    np.testing.assert_allclose(given, expected[:, 0] if regression else expected, rtol=1e-4, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["enc.task"] == head.task.name
    with pytest.raises(SpecError, match=r"not of the setting the head was trained on \(layers: 1,2, not 2\)"):
        export_onnx(checkpoint_of(str(tiny_bert), **settings), tmp_path / "other.onnx", head=head)


def test_a_faulty_export_is_not_kept(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("enc.engine.onnx_export.MAX_DIFFERENCE", -1.0)
    with pytest.raises(ModelError, match="differs from torch by"):
        export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
