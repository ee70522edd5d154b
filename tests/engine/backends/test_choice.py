"""The choice between backends, by default, by measurement and by memory."""

import json
import time

import pytest
from backend_texts import HAS_OPENVINO, TEXTS
from enc.engine import build_features, load_encoder
from enc.engine.backends import candidates as ways
from enc.engine.backends import choice, measure
from enc.engine.backends.candidates import Candidate
from enc.engine.backends.torch_backend import TorchBackend
from enc.engine.encode.checkpoint import checkpoint_of
from enc.store import Source, Store

several_ways = pytest.mark.skipif(
    len(ways.candidates("float16", None, "cpu")) < 2, reason="this machine has one way to encode only"
)


@pytest.fixture
def source(write):
    return Source(write("t.tsv", "text\n" + "\n".join(f"{text} {i}" for i, text in enumerate(TEXTS))))


@pytest.fixture
def always_measured(monkeypatch, fresh_memory):
    """Measure for every job, and shortly."""
    monkeypatch.setattr(choice, "WORTHWHILE_SECONDS", 0.0)
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)


def test_few_texts_are_not_worth_measuring(tiny_bert, source, tmp_path):
    encoder = load_encoder(str(tiny_bert), max_length=32)
    summary = build_features(source, tmp_path / "s", encoder)
    assert encoder.explain() == ""
    assert summary.encoder.startswith("openvino fp32" if HAS_OPENVINO else "torch fp32")


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


@pytest.mark.parametrize(
    ("sign", "slow", "taken"), [(1, "fp32", "bf16"), (1, "bf16", "fp32"), (-1, "fp32", "fp32")]
)
def test_a_job_of_some_seconds_takes_bf16_where_it_is_faster_and_exact(
    tiny_bert, monkeypatch, fresh_memory, sign, slow, taken
):
    class Stand(TorchBackend):
        def __init__(self, checkpoint, *, precision, **options):
            super().__init__(checkpoint, precision="fp32", **options)
            self.title = f"stand {precision}"
            self.sign, self.pause = sign if precision == "bf16" else 1, 0.2 if precision == slow else 0

        def run(self, batches):
            for features in super().run(batches):
                time.sleep(self.pause)
                yield features * self.sign

    options = [Candidate("torch", "fp32"), Candidate("openvino", "bf16")]
    monkeypatch.setattr(choice, "candidates", lambda *_: options)
    monkeypatch.setattr(choice, "default_backend", lambda *_: "openvino")
    monkeypatch.setattr(choice, "WORTHWHILE_SECONDS", float("inf"))
    monkeypatch.setattr("enc.engine.backends.openvino_backend.OpenVinoBackend", Stand)
    for seconds, title in ((float("inf"), "stand fp32"), (0.0, f"stand {taken}")):
        monkeypatch.setattr(choice, "COMPARING_SECONDS", seconds)
        encoder = load_encoder(str(tiny_bert), max_length=32, device="cpu")
        encoder.prepare(encoder.tokenize(TEXTS), 10**3)
        assert encoder.title == title
        assert not encoder._choice.measured
    # Another process takes what this one did, whatever it would choose for itself.
    monkeypatch.setattr(choice, "COMPARING_SECONDS", float("inf"))
    again = load_encoder(str(tiny_bert), max_length=32, device="cpu")
    again.take(json.loads(json.dumps(encoder.taken)))
    again.prepare(again.tokenize(TEXTS), 10**3)
    assert again.title == title


def test_a_lowered_batch_size_is_remembered(tiny_bert, monkeypatch, fresh_memory):
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
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
