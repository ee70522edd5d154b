import pytest
from enc.engine import encode_texts, load_encoder
from enc.engine.backends import advice, registry
from enc.engine.backends.advice import advise_once


@pytest.fixture
def without_openvino(monkeypatch, fresh_memory):
    """As if this were an x86-64 machine on which OpenVINO is not installed."""
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "openvino" else object())
    monkeypatch.setattr(advice.platform, "machine", lambda: "AMD64")


def advice_on(device: str = "cpu") -> list[str]:
    said = []
    advise_once(device, said.append)
    return said


def test_a_missing_backend_is_told_once(without_openvino):
    (line,) = advice_on()
    assert "pip install 'enc-features[openvino]'" in line
    assert advice_on() == []


def test_a_gpu_needs_no_advice(without_openvino):
    assert advice_on("cuda") == []
    assert len(advice_on()) == 1


def test_where_it_was_not_measured_nothing_is_said(without_openvino, monkeypatch):
    monkeypatch.setattr(advice.platform, "machine", lambda: "aarch64")
    assert advice_on() == []


def test_where_it_is_installed_nothing_is_said(without_openvino, monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: object())
    assert advice_on() == []


def test_a_cache_that_cannot_be_written_is_no_error(without_openvino, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(advice_on()) == 1


def test_an_encoder_tells_it_when_it_encodes_and_only_if_somebody_listens(without_openvino, tiny_bert):
    encode_texts(load_encoder(str(tiny_bert), max_length=8, device="cpu"), ["a"])
    said = []
    encoder = load_encoder(str(tiny_bert), max_length=8, device="cpu", say=said.append)
    assert not any("OpenVINO" in line for line in said)
    encode_texts(encoder, ["a"])
    assert [line for line in said if "OpenVINO" in line] == [advice._ADVICE]
    asked = load_encoder(str(tiny_bert), max_length=8, backend="torch", device="cpu", say=said.append)
    encode_texts(asked, ["a"])
    assert [line for line in said if "OpenVINO" in line] == [advice._ADVICE]
