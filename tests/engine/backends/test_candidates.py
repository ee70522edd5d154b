from importlib.util import find_spec

import pytest
from enc.engine.backends import candidates as ways
from enc.engine.backends.candidates import Candidate


@pytest.mark.parametrize(
    ("options", "likely"),
    [
        (
            "torch fp32, openvino fp32, onnx fp32, torch bf16, openvino bf16",
            "torch fp32, torch bf16, openvino bf16",
        ),
        ("torch fp32, onnx fp32, torch bf16", "torch fp32, torch bf16"),
        ("torch fp32, openvino fp32, onnx fp32", "torch fp32, openvino fp32"),
        ("torch fp32, onnx fp32", "torch fp32, onnx fp32"),
        ("torch bf16, openvino bf16", "torch bf16, openvino bf16"),
    ],
)
def test_only_the_likely_ones_are_measured_for_a_job(options, likely):
    named = [Candidate(*option.split()) for option in options.split(", ")]
    assert ", ".join(c.name for c in ways.likely_fastest(named)) == likely


def test_float32_features_are_computed_in_float32(tiny_bert):
    assert {c.precision for c in ways.candidates("float32", None, "cpu")} == {"fp32"}
    assert {c.precision for c in ways.candidates("float16", "bf16", "cpu")} == {"bf16"}


@pytest.mark.parametrize(
    ("providers", "names"),
    [
        (["CPUExecutionProvider"], []),
        (["CUDAExecutionProvider"], ["onnx fp16"]),
        (["TensorrtExecutionProvider", "CUDAExecutionProvider"], ["onnx fp16", "tensorrt fp16"]),
    ],
)
def test_candidates_on_cuda(tiny_bert, monkeypatch, providers, names):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    found = [c.name for c in ways.candidates("float16", None, "cuda")]
    assert found == ["torch fp32", "torch bf16", "torch fp16", *(names if find_spec("onnx") else [])]
    assert [c.name for c in ways.candidates("float32", None, "cuda:1")] == ["torch fp32"]
