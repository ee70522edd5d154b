"""Choices of a backend by the length of the texts."""

import pytest
from enc.engine import load_encoder
from enc.engine.backends.candidates import Candidate
from enc.engine.backends.memory import ChoiceMemory
from enc.engine.encode.checkpoint import checkpoint_of

SHORT, LONG = ["x"] * 4, ["a b c d e f g h i j k l m n o p"] * 4


@pytest.fixture
def checkpoint(tiny_bert, fresh_memory):
    return checkpoint_of(str(tiny_bert), max_length=32)


def test_the_nearest_length_is_taken(checkpoint):
    memory = ChoiceMemory(checkpoint, None, "cpu")
    short, long = checkpoint.tokenize(SHORT), checkpoint.tokenize(LONG)
    assert memory.read(short) is None
    memory.write(long, Candidate("torch", "bf16"))
    assert memory.read(short) == Candidate("torch", "bf16")
    assert (memory.is_known(short), memory.is_known(long)) == (False, True)
    memory.write(short, Candidate("openvino", "bf16"))
    assert memory.read(short) == Candidate("openvino", "bf16")
    assert memory.read(long) == Candidate("torch", "bf16")
    assert memory.read(None) == Candidate("openvino", "bf16")  # without a sample, as for short texts


def test_another_precision_or_device_is_another_matter(checkpoint):
    sample = checkpoint.tokenize(SHORT)
    ChoiceMemory(checkpoint, None, "cpu").write(sample, Candidate("torch", "fp32"))
    assert ChoiceMemory(checkpoint, "fp32", "cpu").read(sample) is None
    assert ChoiceMemory(checkpoint, None, "cuda").read(sample) is None


def test_a_broken_memory_is_measured_again(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "enc").mkdir()
    (tmp_path / "enc" / "choices.json").write_text("{")
    encoder = load_encoder(str(tiny_bert), max_length=32)
    encoder.prepare(encoder.tokenize(SHORT), 1)
    assert " fp32 on cpu" in encoder.title
