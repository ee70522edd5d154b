from dataclasses import replace

import pytest
from backend_texts import HAS_OPENVINO
from enc.engine import load_encoder
from enc.engine.backends import registry
from enc.engine.encode.checkpoint import checkpoint_of
from enc.store import ModelError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(backend="abacus"), "unknown backend 'abacus'; there are auto, torch, openvino, onnx, tensorrt"),
        (dict(backend="onnx", precision="bf16"), "backend onnx has the precisions fp32 and fp16, not bf16"),
        (
            dict(backend="tensorrt", precision="bf16"),
            "backend tensorrt has the precisions fp32 and fp16, not bf16",
        ),
        (dict(backend="tensorrt", device="cpu"), "backend tensorrt runs on cuda, not on 'cpu'"),
        (dict(backend="onnx", device="tpu"), "onnxruntime has no tpu here; it has: .*CPUExecutionProvider"),
        (dict(precision="fp4"), "unknown precision 'fp4'"),
        (dict(backend="torch", precision="fp16", device="cpu"), "fp16 needs a GPU"),
        pytest.param(
            dict(backend="openvino", precision="fp16"),
            "no precision fp16 on this processor",
            marks=pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed"),
        ),
    ],
)
def test_impossible_backends(tiny_bert, options, message):
    with pytest.raises(ModelError, match=message):
        load_encoder(str(tiny_bert), max_length=32, **options)


def test_a_missing_backend_names_its_extra(tiny_bert, monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'enc-features\[openvino\]'"):
        load_encoder(str(tiny_bert), max_length=32, backend="openvino")


def test_a_backend_that_cannot_be_imported_is_told(tiny_bert, monkeypatch):
    broken = replace(registry.BACKENDS["openvino"], module="no_such_module", packages=())
    monkeypatch.setitem(registry.BACKENDS, "openvino", broken)
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    with pytest.raises(ModelError, match="backend openvino cannot be used here: No module named"):
        registry.make_backend("openvino", checkpoint, "fp32", "cpu")
