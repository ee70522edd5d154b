"""From a model's name to an encoder: nothing dear is loaded before a text is encoded."""

import pytest
from enc.engine import encode_texts, load_encoder, load_encoder_of
from enc.engine.backends import load, registry
from enc.store import ModelError


def test_a_backend_is_made_when_it_is_needed_and_once(tiny_bert, monkeypatch):
    made, original = [], registry.make_backend

    def noted(*arguments):
        made.append(arguments[0])
        return original(*arguments)

    monkeypatch.setattr("enc.engine.backends.choice.make_backend", noted)
    said = []
    encoder = load_encoder(str(tiny_bert), max_length=16, backend="torch", say=said.append)
    assert (made, encoder.explain()) == ([], "")
    for _ in range(2):
        encode_texts(encoder, ["a good room"])
    assert made == ["torch"]
    assert said[-1] == f"loading {tiny_bert} …"


def test_the_encoder_of_a_setting_is_the_one_that_made_it(tiny_bert, tiny_model):
    spec = load_encoder(str(tiny_bert), max_length=16, pooling="max", prefix="q: ").spec
    assert load_encoder_of(spec).spec == spec
    with pytest.raises(ModelError, match=r"is not the one the features were made with .*weights"):
        load_encoder_of(spec, model=str(tiny_model("bert", hidden_size=32)))


def test_options_reach_the_choice(tiny_bert, monkeypatch):
    given = []
    monkeypatch.setattr(load, "choose", lambda checkpoint, **options: given.append(options))
    spec = load_encoder(str(tiny_bert), max_length=16, backend="torch", precision="bf16", device="cpu").spec
    load_encoder_of(spec, backend="onnx", precision="fp32", device="cpu")
    assert [(one["backend"], one["precision"], one["device"]) for one in given] == [
        ("torch", "bf16", "cpu"),
        ("onnx", "fp32", "cpu"),
    ]
