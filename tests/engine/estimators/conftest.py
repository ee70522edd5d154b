import pytest
from enc.engine.estimators import encoders
from fakes import FakeEncoder


@pytest.fixture
def fake(monkeypatch):
    """The encoder that estimators load, whatever the model; it counts the texts that it encoded."""
    fake = FakeEncoder()
    monkeypatch.setattr(encoders, "_LOADED", {})
    monkeypatch.setattr(encoders, "load_encoder", lambda **_: fake)
    monkeypatch.setattr(encoders, "load_encoder_of", lambda spec, **_: fake)
    return fake
