"""Exported graphs in plain onnxruntime, against torch."""

import json

import numpy as np
import pytest
from enc.engine import encode_texts, load_encoder
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.export import export_onnx
from enc.store import ModelError
from onnx_session import run

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")
onnx = pytest.importorskip("onnx", reason="onnx is an extra and not installed")

TEXTS = ["a good hotel", "x", "no. no. no. " * 5]


@pytest.mark.parametrize("target", ["any", "cpu", "cuda"])
@pytest.mark.parametrize(
    "options", [dict(), dict(pooling="cls,max", layers="1-2"), dict(pooling="tokens", layers="0")]
)
def test_features(tiny_bert, tmp_path, options, target):
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32, dtype="float32", **options)
    assert export_onnx(checkpoint, tmp_path / "out" / "model.onnx", target=target).difference < 1e-5
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.onnx"]
    session, features = run(tmp_path / "out" / "model.onnx", checkpoint.tokenizer(TEXTS))
    encoder = load_encoder(str(tiny_bert), max_length=32, dtype="float32", backend="torch", **options)
    expected = encode_texts(encoder, TEXTS)
    if options.get("pooling") == "tokens":
        expected = expected[:, : features.shape[1]]
    np.testing.assert_allclose(features, expected, atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["enc.spec"])["digest"] == checkpoint.spec.digest


def operators(path):
    return {(node.domain, node.op_type) for node in onnx.load(path).graph.node}


def test_targets_and_precisions(tmp_path):
    checkpoint = checkpoint_of("minilm", max_length=32, pooling="mean,max")
    expected = encode_texts(
        load_encoder("minilm", max_length=32, pooling="mean,max", dtype="float32", backend="torch"), TEXTS
    )
    found = {}
    for precision, target in [("fp32", "any"), ("fp32", "cpu"), ("fp16", "cuda"), ("int8", "cpu")]:
        path = tmp_path / f"{precision}-{target}.onnx"
        export = export_onnx(checkpoint, path, precision=precision, target=target)
        assert export.fused.get("Attention") == (None if target == "any" else 6)
        _, features = run(path, checkpoint.tokenizer(TEXTS))
        cosine = (
            (features * expected).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(expected, axis=1)
        )
        found[precision, target] = (export.cosine, cosine.mean(), path.stat().st_size)
        assert any(domain for domain, _ in operators(path)) == (target != "any")
        assert features.dtype == np.float32
    for name, (reported, measured, size) in found.items():
        assert min(reported, measured) > {"fp32": 0.999999, "fp16": 0.99999, "int8": 0.98}[name[0]], name
        assert size < {"fp32": 92e6, "fp16": 46e6, "int8": 24e6}[name[0]]


def test_pooling_is_not_done_in_float16(tiny_bert, tmp_path):
    path = tmp_path / "model.onnx"
    export_onnx(checkpoint_of(str(tiny_bert), max_length=32), path, precision="fp16", target="cuda")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path))
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    sums = [node for node in inferred.graph.node if node.op_type == "ReduceSum" and node.name.startswith("/")]
    assert sums
    assert {kinds[node.output[0]] for node in sums} == {onnx.TensorProto.FLOAT}
    assert [n.op_type for n in inferred.graph.node].count(
        "Cast"
    ) <= 6  # none to and fro between float32 nodes


def test_other_architectures(tiny_model, tmp_path):
    roberta = checkpoint_of(str(tiny_model("roberta", type_vocab_size=1)), max_length=32)
    assert export_onnx(roberta, tmp_path / "model.onnx", target="cpu").fused["Attention"] == 2
    # MPNet adds a bias to its attention, which the optimizer does not know: the graph stays as it is.
    mpnet = checkpoint_of(str(tiny_model("mpnet")), max_length=32)
    assert export_onnx(mpnet, tmp_path / "model.onnx", target="cpu").fused == {}
    assert not any(domain for domain, _ in operators(tmp_path / "model.onnx"))


def test_a_wrong_fusion_is_not_used(tiny_bert, tmp_path, monkeypatch):
    def wrong(path, target, **_):
        graph = onnx.load(path)
        next(node for node in graph.graph.node if node.op_type == "Softmax").attribute[0].i = 1
        return graph, {"Attention": 2}

    monkeypatch.setattr("enc.engine.backends.onnx_graph.fused_graph", wrong)
    monkeypatch.setattr(
        "enc.engine.backends.graph_cache.PROBES", ("a b", "c")
    )  # exports of other tests are not found
    export = export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx", target="cpu")
    assert (export.fused, export.difference < 1e-5) == ({}, True)


def test_an_export_is_kept_for_the_next(tiny_bert, tmp_path, monkeypatch):
    first = export_onnx(
        checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "a.onnx", precision="int8", target="cpu"
    )
    monkeypatch.setattr("enc.engine.backends.onnx_file._make", None)
    again = export_onnx(
        checkpoint_of(str(tiny_bert), max_length=16), tmp_path / "b.onnx", precision="int8", target="cpu"
    )
    assert again == first
    specs = [onnx.load(tmp_path / name).metadata_props for name in ("a.onnx", "b.onnx")]
    lengths = [
        json.loads(next(p.value for p in props if p.key == "enc.spec"))["max_length"] for props in specs
    ]
    assert lengths == [32, 16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            dict(precision="int8", target="cuda"),
            r"no int8 kernels .* on CUDA; export fp16, or int8 for the cpu",
        ),
        (dict(precision="bf16"), "cannot export bf16 for any; there are fp32, fp16 and int8"),
    ],
)
def test_impossible_exports(tiny_bert, tmp_path, options, message):
    with pytest.raises(ModelError, match=message):
        export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx", **options)


def test_an_inexact_export_is_not_kept(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("enc.engine.backends.onnx_file.MIN_COSINE", {"int8": 2.0})
    monkeypatch.setattr("enc.engine.backends.graph_cache.PROBES", ("a", "b c"))
    export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"in int8 has a mean cosine of .* less than 2.0; it was not kept"):
        export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx", precision="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert not any(kind == "MatMulInteger" for _, kind in operators(tmp_path / "model.onnx"))


def test_a_faulty_export_is_not_kept(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr("enc.engine.backends.onnx_file.MAX_DIFFERENCE", -1.0)
    monkeypatch.setattr("enc.engine.backends.graph_cache.PROBES", ("a", "b"))
    with pytest.raises(ModelError, match="differs from torch by"):
        export_onnx(checkpoint_of(str(tiny_bert), max_length=32), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
