import json

import numpy as np
import pytest
from enc.engine import Head, TrainConfig, build_features, encode_texts, load_encoder, train_head
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.export import export_onnx
from enc.engine.sweep.search import search
from enc.store import Source, SpecError, Store
from onnx_session import run

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")

onnx = pytest.importorskip("onnx", reason="onnx is an extra and not installed")

TEXTS = ["a good hotel", "x", "no. no. no. " * 5]


@pytest.mark.parametrize(
    ("precision", "target"), [("fp32", "any"), ("fp16", "cuda"), ("int8", "cpu"), ("int8", "any")]
)
def test_a_head_with_its_encoder(tiny_bert, tmp_path, write, precision, target):
    path = write(
        "t.tsv", "text\tlabel\n" + "\n".join(f"{'good' if i % 2 else 'bad'} {i}\t{i % 2}" for i in range(20))
    )
    encoder = load_encoder(str(tiny_bert), max_length=32)
    build_features(Source(path), tmp_path / "store", encoder)
    head = train_head(
        Source(path), Store(tmp_path / "store").open(), valid=Source(path), config=TrainConfig(epochs=2)
    )
    head = Head.load(head.save(tmp_path / "head"))
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    export = export_onnx(checkpoint, tmp_path / "head.onnx", head=head, precision=precision, target=target)
    assert (export.precision, export.target, "Attention" in export.fused) == (
        precision,
        target,
        target != "any",
    )
    session, probabilities = run(tmp_path / "head.onnx", checkpoint.tokenizer(TEXTS))
    # The head was trained on float16 features; the graph hands it float32.
    np.testing.assert_allclose(
        probabilities,
        head.predict_proba(encode_texts(encoder, TEXTS)),
        atol=5e-3 if precision != "int8" else 5e-2,
    )
    assert json.loads(session.get_modelmeta().custom_metadata_map["enc.labels"]) == [0, 1]


@pytest.mark.parametrize(
    ("kind", "pooling", "options"),
    [
        ("mlp", "cls,max", dict(label_column=["a", "b"])),
        # Not cls: the tiny model's hardly differs from text to text, and a target of thousands shows its last
        # digits.
        ("linear", "mean,max", dict(label_column="number", task="regression")),
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
    table = Store(tmp_path / "store").open()
    use = table.spec.select(layers=[2])
    head = train_head(Source(path), table, valid=Source(path), config=config, use=use, **options)
    checkpoint = checkpoint_of(str(tiny_bert), **(settings | dict(layers="2")))
    spread = 10_000 if options.get("task") == "regression" else 1
    assert export_onnx(checkpoint, tmp_path / "head.onnx", head=head).difference < 1e-3 * spread
    session, given = run(tmp_path / "head.onnx", checkpoint.tokenizer(TEXTS))
    alone = load_encoder(str(tiny_bert), backend="torch", **(settings | dict(layers="2")))
    expected = head.outputs(encode_texts(alone, TEXTS))
    regression = options.get("task") == "regression"
    assert session.get_outputs()[0].name == ("predictions" if regression else "probabilities")
    np.testing.assert_allclose(given, expected[:, 0] if regression else expected, rtol=1e-4, atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["enc.task"] == head.task.name
    with pytest.raises(SpecError, match=r"not of the setting the head was trained on \(layers: 1,2, not 2\)"):
        export_onnx(checkpoint_of(str(tiny_bert), **settings), tmp_path / "other.onnx", head=head)


@pytest.mark.parametrize(
    ("options", "kind", "precision", "rate"),
    [
        (dict(label_column="a"), "linear", "fp32", 10.0),
        (dict(label_column="a"), "linear", "fp16", 10.0),
        (dict(label_column=["a", "b"]), "mlp", "fp32", 0.5),
        (dict(label_column=["a", "b"]), "linear", "fp16", 200.0),
        (dict(label_column="number", task="regression"), "linear", "fp32", 0.1),
    ],
)
def test_an_ensemble_of_heads(tiny_bert, tmp_path, write, options, kind, precision, rate):
    rows = (f"{'good ' * (1 + i % 5)}{i}\t{i % 2}\t{i % 3 // 2}\t{1000.5 * i}" for i in range(20))
    source = Source(write("t.tsv", "text\ta\tb\tnumber\n" + "\n".join(rows) + "\n"))
    settings = dict(max_length=32, dtype="float32")
    encoder = load_encoder(str(tiny_bert), backend="torch", **settings)
    build_features(source, tmp_path / "store", encoder)
    # Large weights make some probabilities 0 and 1 in half precision, of which there are no logits.
    config = TrainConfig(epochs=20, head=kind, optimizer="sgd", learning_rate=rate)
    table = Store(tmp_path / "store").open()
    head = search(source, table, grid={}, seeds=3, ensemble=True, valid=source, config=config, **options).head
    head = Head.load(head.save(tmp_path / "head"))
    assert head.members == 3
    checkpoint = checkpoint_of(str(tiny_bert), **settings)
    target = "cuda" if precision == "fp16" else "any"
    export_onnx(checkpoint, tmp_path / "head.onnx", head=head, precision=precision, target=target)
    _, given = run(tmp_path / "head.onnx", checkpoint.tokenizer(TEXTS))
    expected = head.outputs(encode_texts(encoder, TEXTS))
    regression = options.get("task") == "regression"
    np.testing.assert_allclose(
        given,
        expected[:, 0] if regression else expected,
        rtol=1e-4,
        atol=1e-4 if precision == "fp32" else 0.02,
    )
