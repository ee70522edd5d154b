import json
import platform
from dataclasses import replace

import click
from enc.cli.doctor import diagnosis_text
from enc.engine.doctor import AutoState, BackendState, CacheState, Diagnosis, Remembered
from enc.engine.hub import HubState
from enc.engine.machine import Processor

FOUND = Diagnosis(
    versions={"enc-features": "0.1.0", "Python": "3.11.7", "torch": "2.13.0", "onnx": None},
    system="Linux-6.1",
    processor=Processor("Some processor", "x86_64", 4, 2, 8 << 30, 3 << 30, {"AVX2": True, "AMX": False}),
    gpu="none: no driver is installed",
    backends=[
        BackendState("torch", True, ["fp32", "bf16"], ""),
        BackendState("onnx", False, ["fp32"], "not installed: pip install 'enc-features[onnx]'"),
    ],
    missing={"ONNX graphs": "pip install 'enc-features[onnx]'"},
    auto=AutoState("minilm", "cpu", "torch fp32", ["torch fp32", "torch bf16"], [], 15.0),
    cache=CacheState("~/.cache/enc", 1_500_000, {"openvino": 1_499_000, "choices.json": 1000}),
    hub=HubState("https://huggingface.co", True, "reachable"),
    torch=None,
    seconds={"versions": 0.01, "auto": 0.2, "hub": 0.3},
)


def test_a_diagnosis_in_two_columns(golden):
    known = [Remembered(16, 31, "torch", "bf16", 1234.5)]
    found = replace(FOUND, auto=replace(FOUND.auto, remembered=known))
    golden("doctor.txt", click.unstyle(diagnosis_text(found)))


def test_what_auto_does_where_nothing_is_remembered():
    lines = diagnosis_text(FOUND).splitlines()
    assert "  small jobs              torch fp32" in lines
    assert "  jobs of 15 s and more   the fastest of torch fp32, torch bf16, by measuring" in lines


def test_a_model_that_cannot_be_opened_is_no_reason_to_stop():
    text = diagnosis_text(replace(FOUND, auto=replace(FOUND.auto, problem="the embedded model is gone")))
    assert "  minilm                  the embedded model is gone" in text


def test_the_command(enc):
    assert "--backend auto" in enc("doctor").stdout
    found = json.loads(enc("doctor", "--json").stdout)
    assert found["versions"]["Python"] == platform.python_version()
    assert found["torch"] is None
    assert found["hub"]["remark"] == "not asked: HF_HUB_OFFLINE is set"


def test_the_command_with_torch(enc):
    result = enc("doctor", "--torch", "--json")
    assert json.loads(result.stdout)["torch"]["version"] == json.loads(result.stdout)["versions"]["torch"]
