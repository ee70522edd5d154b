"""Quantizing, the folder it makes, and the gate."""

import pytest
from enc.engine import (
    TrainConfig,
    build_features,
    encode_texts,
    load_encoder,
    load_encoder_of,
)
from enc.engine.backends import int8, measure
from enc.engine.backends.int8 import RECIPES, quantize
from enc.engine.backends.measure import cosines
from enc.engine.backends.network import network_of
from enc.engine.encode.checkpoint import checkpoint_of
from enc.store import ModelError, Source, Store

pytest.importorskip("nncf", reason="quantizing needs nncf")
pytest.importorskip("openvino", reason="int8 models run on openvino")

TEXTS = [
    f"a good hotel {word} very good no. {number}" for number in range(20) for word in ("x", "好 酒店", "not")
]


CONFIG = TrainConfig(learning_rate=0.05, epochs=20)


@pytest.fixture(scope="module")
def quantized(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "model"
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32, layers="1,2")
    quantize(checkpoint, checkpoint.tokenizer(TEXTS), RECIPES[0], folder)
    return folder


def test_int8_features_are_near_those_of_full_precision(tiny_bert, quantized):
    full, small = load_encoder(str(tiny_bert), max_length=32, layers="1,2"), load_encoder(str(quantized))
    similar = cosines(encode_texts(small, TEXTS), encode_texts(full, TEXTS))
    assert 0.95 < similar.mean() < 0.99999999  # close, and truly quantized
    assert small.title.startswith("openvino int8")


def test_an_int8_model_is_another_feature_set_with_its_own_setting(tiny_bert, quantized, tmp_path):
    full, small = (
        load_encoder(str(tiny_bert), max_length=32, layers="1,2").spec,
        load_encoder(str(quantized)).spec,
    )
    assert (small.precision, small.layers, small.max_length) == ("int8", (1, 2), 32)
    assert {d.split(":")[0] for d in full.differences(small)} == {"weights", "precision"}
    assert load_encoder(str(quantized), max_length=16).spec.max_length == 16
    assert load_encoder_of(small).spec == small
    (tmp_path / "t.tsv").write_text("sentence\na\nb\n")
    summary = build_features(Source(tmp_path / "t.tsv"), tmp_path / "s", load_encoder(str(quantized)))
    assert summary.feature_set == "model-mean-layers1_2-32-int8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "2"}, "was quantized for layers 1,2"),
        ({"pooling": "cls"}, "was quantized for pooling mean"),
        ({"backend": "torch"}, "it takes --backend openvino"),
        ({"precision": "bf16"}, "it takes --backend openvino"),
    ],
)
def test_an_int8_model_runs_in_one_way_only(quantized, options, message):
    with pytest.raises(ModelError, match=message):
        load_encoder(str(quantized), **options)


def test_torch_has_no_weights_of_an_int8_model(quantized):
    with pytest.raises(ModelError, match="has no weights for torch"):
        network_of(checkpoint_of(str(quantized)))


def test_int8_must_be_made_first(tiny_bert):
    with pytest.raises(ModelError, match=r"is not quantized; `enc calibrate .* --precision int8"):
        load_encoder(str(tiny_bert), max_length=32, precision="int8")


def test_other_folders_are_left_alone(tiny_bert, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint = checkpoint_of(str(tiny_bert), max_length=32)
    with pytest.raises(ModelError, match="is not an int8 model"):
        quantize(checkpoint, checkpoint.tokenizer(TEXTS), RECIPES[0], tmp_path)


def test_a_damaged_record_is_named(quantized, tmp_path):
    (tmp_path / "config.json").write_text((quantized / "config.json").read_text())
    (tmp_path / "int8.json").write_text("{")
    (tmp_path / "int8.xml").write_text("")
    (tmp_path / "tokenizer.json").write_text((quantized / "tokenizer.json").read_text())
    with pytest.raises(ModelError, match="is damaged"):
        load_encoder(str(tmp_path))


@pytest.fixture
def reviews(tmp_path, monkeypatch, fresh_memory):
    monkeypatch.setattr(measure, "SECONDS_A_ROUND", 0.01)
    rows = [f"{text} {i}\t{i % 2}" for i, text in enumerate(["good", "not good"] * 40)]
    (tmp_path / "reviews.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    return Source(tmp_path / "reviews.tsv")


def test_quantizing_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setattr(int8, "find_spec", lambda package: None)
    with pytest.raises(ModelError, match=r"pip install 'enc-features\[int8\]'"):
        int8.require_packages()


def test_features_of_int8_train_a_head(quantized, tmp_path):
    (tmp_path / "t.tsv").write_text("sentence\tlabel\na\t0\nb\t1\n")
    build_features(Source(tmp_path / "t.tsv"), tmp_path / "s", load_encoder(str(quantized)))
    assert Store(tmp_path / "s").open().spec.precision == "int8"
