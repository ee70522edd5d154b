"""Every backend against float32 on torch, and the choice between them."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from enc.engine import build_features, load_encoder
from enc.engine.backends import candidates as ways
from enc.engine.backends import choice, measure
from enc.engine.backends.candidates import Candidate
from enc.engine.backends.onnx_backend import _profiles
from enc.engine.backends.torch_backend import TorchBackend
from enc.engine.encode.checkpoint import Checkpoint
from enc.engine.encode.devices import cpu_has_bf16
from enc.store import ModelError, Source, Store

TEXTS = [
    "a good hotel, very good!",
    "好 酒店 很 好",
    "x",
    "the room was not clean and " * 12,
    "don't",
    "no. no. no.",
] * 3
HAS_OPENVINO = find_spec("openvino") is not None
HAS_BF16 = cpu_has_bf16()
HAS_ONNX = find_spec("onnx") is not None
onnx = pytest.param(
    "onnx", marks=pytest.mark.skipif(not HAS_ONNX, reason="onnx is an extra and not installed")
)
openvino = pytest.param(
    "openvino", marks=pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is an extra and not installed")
)


def encoded(encoder, pairs=None):
    tokens = encoder.tokenize(TEXTS, pairs)
    batches = np.array_split(np.arange(len(TEXTS)), 7)
    return np.concatenate(list(encoder.encode(tokens.batch(rows) for rows in batches)))


def cosines(a, b):
    a, b = a.reshape(len(a), -1).astype(float), b.reshape(len(b), -1).astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("pairs", [None, ["z y"] * len(TEXTS)])
@pytest.mark.parametrize(
    "options", [dict(), dict(pooling="max,cls", layers="1-2"), dict(pooling="tokens"), dict(layers=[1])]
)
@pytest.mark.parametrize("backend", [openvino, onnx])
def test_float32_backends_agree(tiny_bert, backend, options, pairs):
    settings = dict(max_length=32, dtype="float32", precision="fp32") | options
    expected = encoded(load_encoder(str(tiny_bert), backend="torch", **settings), pairs)
    encoder = load_encoder(str(tiny_bert), backend=backend, **settings)
    for _ in range(2):  # the second time with requests that were used before
        np.testing.assert_allclose(encoded(encoder, pairs), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16")
@pytest.mark.parametrize("backend", ["torch", openvino])
def test_bf16_is_of_the_full_class(backend):
    expected = encoded(load_encoder("minilm", backend="torch", precision="fp32"))
    assert (
        cosines(encoded(load_encoder("minilm", backend=backend, precision="bf16")), expected).mean() > 0.9999
    )


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
            marks=pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is an extra and not installed"),
        ),
        pytest.param(
            dict(backend="openvino"),
            "pip install 'enc-features",
            marks=pytest.mark.skipif(
                HAS_OPENVINO, reason="OpenVINO is installed, so that asking for it is no error"
            ),
        ),
    ],
)
def test_impossible_backends(tiny_bert, options, message):
    with pytest.raises(ModelError, match=message):
        load_encoder(str(tiny_bert), max_length=32, **options)


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is an extra and not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so that asking for it is no error")
@pytest.mark.parametrize(
    ("backend", "provider"), [("onnx", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_a_provider_that_falls_back_is_an_error(tiny_bert, backend, provider, capfd):
    with pytest.raises(
        ModelError, match=rf"onnxruntime (fell back from|cannot start|has no) {provider}"
    ) as caught:
        load_encoder(str(tiny_bert), max_length=32, backend=backend, device="cuda")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is an extra and not installed")
def test_onnx_in_fp16(tiny_bert):
    expected = encoded(load_encoder(str(tiny_bert), max_length=32, backend="torch", dtype="float32"))
    encoder = load_encoder(
        str(tiny_bert), max_length=32, backend="onnx", precision="fp16", dtype="float32", device="cpu"
    )
    assert cosines(encoded(encoder), expected).min() > 0.9999


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is an extra and not installed")
def test_a_batch_of_more_rows_than_the_profile_is_halved(tiny_bert):
    settings = dict(max_length=32, dtype="float32", device="cpu")
    encoder = load_encoder(str(tiny_bert), backend="onnx", **settings)
    whole = encoded(encoder)
    encoder._most_rows = 1
    np.testing.assert_allclose(encoded(encoder), whole, atol=1e-6)


def test_tensorrt_profiles():
    assert _profiles(["input_ids", "attention_mask"], 1024, 128, 16384) == {
        "trt_profile_min_shapes": "input_ids:1x1,attention_mask:1x1",
        "trt_profile_opt_shapes": "input_ids:256x64,attention_mask:256x64",
        "trt_profile_max_shapes": "input_ids:1024x128,attention_mask:1024x128",
    }
    assert _profiles(["x"], 1, 1, 1)["trt_profile_opt_shapes"] == "x:1x1"


def test_a_batch_too_large_for_memory_is_halved(tiny_bert, monkeypatch):
    encoder = load_encoder(str(tiny_bert), max_length=32, backend="torch", dtype="float32")
    expected = encoded(encoder)
    network, refused = encoder.backend._network, []

    def small_memory(input_ids, *others):
        if len(input_ids) > 2:
            refused.append(len(input_ids))
            raise torch.OutOfMemoryError("out of memory")
        return network(input_ids, *others)

    monkeypatch.setattr(encoder.backend, "_network", small_memory)
    tokens = encoder.tokenize(TEXTS)
    features = next(iter(encoder.encode([tokens.batch(np.arange(len(TEXTS)))])))
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert refused[0] == len(TEXTS)
    assert encoder.tokens_per_batch < len(TEXTS) * 32  # and later batches are cut smaller

    def no_memory(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(encoder.backend, "_network", no_memory)
    with pytest.raises(ModelError, match="a single text of 3 tokens does not fit the memory of cpu"):
        next(encoder.encode([tokens.batch(np.array([2]))]))


@pytest.fixture
def source(write):
    return Source(write("t.tsv", "text\n" + "\n".join(f"{text} {i}" for i, text in enumerate(TEXTS))))


def test_few_texts_are_not_worth_measuring(tiny_bert, source, tmp_path):
    encoder = load_encoder(str(tiny_bert), max_length=32)
    summary = build_features(source, tmp_path / "s", encoder)
    assert encoder.explain() == ""
    assert summary.encoder.startswith("openvino fp32" if HAS_OPENVINO else "torch fp32")


several_ways = pytest.mark.skipif(
    len(ways.candidates("float16", None, "cpu")) < 2, reason="this machine has one way to encode only"
)


@pytest.fixture
def always_measured(monkeypatch, fresh_memory):
    """Measure for every job, and shortly."""
    monkeypatch.setattr(choice, "WORTHWHILE_SECONDS", 0.0)
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)


@several_ways
def test_many_texts_are_measured_and_the_choice_is_remembered(
    tiny_bert, source, tmp_path, monkeypatch, always_measured
):
    monkeypatch.setattr(measure, "STEADY", float("inf"))  # whatever else this machine does
    encoder = load_encoder(str(tiny_bert), max_length=32)
    summary = build_features(source, tmp_path / "s", encoder, name="set")
    best = max((c for c in encoder._choice.measured if not c.problem), key=lambda c: c.texts_per_second)
    assert summary.encoder.startswith(best.name)
    assert encoder.explain().startswith(best.name)
    assert encoder._choice.measured[0].name == "torch fp32"
    assert encoder._choice.measured[0].cosine == pytest.approx(1, abs=1e-5)

    again = load_encoder(str(tiny_bert), max_length=32)
    again.prepare(again.tokenize(TEXTS), 10**9)
    assert (again._choice.measured, again.tokens_per_batch) == ([], best.tokens_per_batch)
    assert again.title.startswith(best.name)
    # Texts of another length are another matter.
    other = load_encoder(str(tiny_bert), max_length=32)
    other.prepare(other.tokenize(["x"] * 20), 10**9)
    assert other._choice.measured
    assert Store(tmp_path / "s").open().rows == len(TEXTS)


@several_ways
def test_what_a_busy_machine_measured_is_not_remembered(tiny_bert, monkeypatch, always_measured):
    monkeypatch.setattr(measure, "STEADY", 0.0)
    for _ in range(2):
        encoder = load_encoder(str(tiny_bert), max_length=32)
        encoder.prepare(encoder.tokenize(TEXTS), 10**9)
        assert encoder._choice.measured
        assert "the machine is busy" in encoder.explain()


def test_an_inexact_candidate_is_out(tiny_bert, monkeypatch):
    checkpoint = checkpoint_of(tiny_bert)

    class Inexact(TorchBackend):
        def run(self, batches):
            for features in super().run(batches):
                yield features[:, ::-1]

    monkeypatch.setattr("enc.engine.backends.openvino_backend.OpenVinoBackend", Inexact)
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    options = [Candidate("torch", "fp32"), Candidate("openvino", "fp32"), Candidate("torch", "fp16")]
    exact, inexact, impossible = measure.measure(
        checkpoint, "cpu", checkpoint.tokenizer(TEXTS), options
    ).candidates
    assert (exact.problem, exact.texts_per_second > 0) == ("", True)
    assert "features differ from float32" in inexact.problem
    assert "needs a GPU" in impossible.problem


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


def test_where_the_likely_ones_are_inexact_the_others_are_measured(tiny_bert, monkeypatch, fresh_memory):
    class Coarse(TorchBackend):
        def __init__(self, checkpoint, *, precision, **options):
            super().__init__(checkpoint, precision="fp32", **options)
            self.title, self.sign = f"coarse {precision}", -1 if precision == "bf16" else 1

        def run(self, batches):
            for features in super().run(batches):
                yield features * self.sign

    options = [Candidate("torch", "fp32"), Candidate("openvino", "fp32"), Candidate("openvino", "bf16")]
    monkeypatch.setattr(choice, "candidates", lambda *_: options)
    monkeypatch.setattr(choice, "WORTHWHILE_SECONDS", 0.0)
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    monkeypatch.setattr("enc.engine.backends.openvino_backend.OpenVinoBackend", Coarse)
    encoder = load_encoder(str(tiny_bert), max_length=32, device="cpu")
    encoder.prepare(encoder.tokenize(TEXTS), 10**9)
    assert [(c.name, c.problem) for c in encoder._choice.measured] == [
        ("torch fp32", ""),
        ("openvino fp32", ""),
    ]


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
    assert found == ["torch fp32", "torch bf16", "torch fp16", *(names if HAS_ONNX else [])]
    assert [c.name for c in ways.candidates("float32", None, "cuda:1")] == ["torch fp32"]


def test_a_broken_memory_is_measured_again(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "enc").mkdir()
    (tmp_path / "enc" / "choices.json").write_text("{")
    encoder = load_encoder(str(tiny_bert), max_length=32)
    encoder.prepare(encoder.tokenize(TEXTS), 1)
    assert " fp32 on cpu" in encoder.title


def checkpoint_of(folder, dtype="float16") -> Checkpoint:
    return Checkpoint(folder, str(folder), {"max_length": 32, "dtype": dtype})


def test_a_lowered_batch_size_is_remembered(tiny_bert, monkeypatch, fresh_memory):
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    checkpoint = checkpoint_of(tiny_bert)
    sample = checkpoint.tokenize(TEXTS)
    monkeypatch.setattr(measure, "STEADY", float("inf"))  # whatever else this machine does
    choice.measure_all(checkpoint, sample, precision="fp32", device="cpu")
    first = load_encoder(str(tiny_bert), max_length=32, precision="fp32", device="cpu")
    first.prepare(sample, 1)
    first._backend = type("Small", (), {"tokens_per_batch": 512, "run": shrinking})()
    list(first.encode([]))
    second = load_encoder(str(tiny_bert), max_length=32, precision="fp32", device="cpu")
    second.prepare(sample, 1)
    assert second.tokens_per_batch == 256


def shrinking(self, batches):
    self.tokens_per_batch = 256
    yield from ()


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is an extra and not installed")
def test_a_batch_too_large_for_onnx_is_halved(tiny_bert, monkeypatch):
    encoder = load_encoder(str(tiny_bert), backend="onnx", precision="fp32", max_length=16)
    batch = encoder.tokenize(TEXTS).batch(np.arange(8))
    expected = np.concatenate(list(encoder.encode([batch])))
    session, run = encoder.backend._session, encoder.backend._session.run

    def small(batch):
        if len(batch.input_ids) > 2:
            raise RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer of size 42")
        return run(batch)

    monkeypatch.setattr(session, "run", small)
    np.testing.assert_allclose(np.concatenate(list(encoder.encode([batch]))), expected, atol=1e-3)
    assert encoder.tokens_per_batch == 2 * batch.input_ids.shape[1]

    def never(batch):
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(session, "run", never)
    with pytest.raises(ModelError, match="does not fit the memory of cpu; lower --max-length"):
        list(encoder.encode([batch]))


def test_signals_are_handled_after_an_openvino_encoder_is_gone(tiny_bert):
    pytest.importorskip("openvino")
    script = """if True:
        import os, signal, sys, threading
        from enc.engine.encode.checkpoint import checkpoint_of
        from enc.engine.backends.openvino_backend import OpenVinoBackend
        signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
        held = [OpenVinoBackend(checkpoint_of(sys.argv[1], max_length=16))]
        dropping = threading.Thread(target=held.clear)
        dropping.start()
        dropping.join()
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bert)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
