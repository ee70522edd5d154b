"""Heads of upper layers merged with the layers below: plain transformers gives the same logits."""

import json

import numpy as np
import pytest
import torch
from enc.engine import TrainConfig, load_encoder_of, predict_texts, train_head
from enc.engine.classifier import load_classifier
from enc.engine.export import export_onnx
from enc.engine.merge import merge_head
from enc.store import HeadError, ModelError
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from upper_layers import TINY, states, write_rows

TEXTS = ["a b c good", "h", "g g g g e e d a b c d e f g h a b bad"]


@pytest.fixture
def source(tmp_path):
    return write_rows(tmp_path / "rows.tsv")


def trained(source, store, model, rows=None, setting=None, **arguments):
    table = states(source, store, model, **setting or {})
    asked = dict(precision="fp32") | arguments
    config = TrainConfig.of("encoder", epochs=1, batch_size=8, learning_rate=1e-3, head_args=asked)
    return train_head(source, table, valid=source, config=config, **rows or {})


def logits_of(folder):
    """The logits of TEXTS that plain transformers has."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, truncation=True, max_length=24, return_tensors="pt"
    )
    if model.config.model_type in ("distilbert", "modernbert", "mpnet"):
        batch.pop("token_type_ids", None)
    with torch.inference_mode():
        return model(**batch).logits


def outputs_of(head):
    """What the head makes of TEXTS, by their encoder."""
    encoder = load_encoder_of(head.spec, backend="torch", precision="fp32")
    proba = [one.proba for one in predict_texts(head, TEXTS, encoder)]
    return np.array([[one[label] for label in head.labels.values] for one in proba])


@pytest.mark.parametrize("layer", ["0", "1"])
@pytest.mark.parametrize("model_type", TINY)
def test_the_merged_model_gives_the_heads_logits(model_type, layer, source, tiny_model, tmp_path):
    model = tiny_model(model_type, num_hidden_layers=3, **TINY[model_type])
    head = trained(source, tmp_path / "store", model, setting=dict(layers=layer))
    merged = merge_head(head, tmp_path / "merged")
    found = torch.softmax(logits_of(merged), -1).numpy()
    np.testing.assert_allclose(found, outputs_of(head), atol=2e-4)
    untouched = AutoModelForSequenceClassification.from_pretrained(model)
    kept = ("embeddings",) if layer == "0" else ("embeddings", "layer.0.", "layers.0.")
    below = [one for one in untouched.base_model.state_dict() if any(part in one for part in kept)]
    assert below
    theirs = AutoModelForSequenceClassification.from_pretrained(merged).base_model.state_dict()
    for name in below:
        torch.testing.assert_close(theirs[name], untouched.base_model.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "electra"])
def test_a_linear_layer_becomes_the_architectures_classifier(model_type, source, tiny_model, tmp_path):
    model = tiny_model(model_type, num_hidden_layers=3, **TINY[model_type])
    head = trained(source, tmp_path / "store", model, layers=1, pooling="cls")
    merged = merge_head(head, tmp_path / "merged")
    assert json.loads((merged / "config.json").read_text()).get("num_hidden_layers", 2) == 2
    np.testing.assert_allclose(torch.softmax(logits_of(merged), -1).numpy(), outputs_of(head), atol=2e-4)


def test_a_merged_model_is_scored_like_any_and_keeps_the_labels(source, tiny_model, tmp_path):
    head = trained(source, tmp_path / "store", tiny_model("bert", num_hidden_layers=3))
    merged = load_classifier(merge_head(head, tmp_path / "merged"))
    assert merged.labels.values == ("no", "yes")
    assert merged.spec.max_length == 24
    np.testing.assert_allclose(outputs_of(merged), outputs_of(head), atol=2e-2)  # its states are float16
    with pytest.raises(HeadError, match="is there already"):
        merge_head(head, tmp_path / "merged")
    merge_head(head, tmp_path / "merged", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kept.txt").write_text("mine")
    with pytest.raises(HeadError, match="is not a model"):
        merge_head(head, tmp_path / "other", overwrite=True)


def test_a_regression_keeps_its_units(source, tiny_model, tmp_path):
    model = tiny_model("bert", num_hidden_layers=3)
    head = trained(source, tmp_path / "store", model, rows=dict(label_column="stars", task="regression"))
    encoder = load_encoder_of(head.spec, backend="torch", precision="fp32")
    wanted = [one.value for one in predict_texts(head, TEXTS, encoder)]
    found = logits_of(merge_head(head, tmp_path / "merged")).squeeze(-1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize("layer", ["0", "1"])
def test_head_and_encoder_are_one_graph(layer, source, tiny_model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel here")
    bert = tiny_model("bert", num_hidden_layers=3)
    head = trained(source, tmp_path / "store", bert, setting=dict(layers=layer))
    export_onnx(head.spec.model, tmp_path / "head.onnx", head=head)
    session = onnxruntime.InferenceSession(tmp_path / "head.onnx")
    batch = AutoTokenizer.from_pretrained(head.spec.model)(TEXTS, padding=True, return_tensors="np")
    found = session.run(None, {i.name: batch[i.name].astype(np.int64) for i in session.get_inputs()})[0]
    np.testing.assert_allclose(found, outputs_of(head), atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "arguments", "problem"),
    [
        ({}, dict(pooling="mean"), "it takes the mean of the states"),
        (dict(prefix="a "), {}, "its texts have the prefix 'a '"),
    ],
)
def test_what_no_ordinary_model_computes_is_refused(
    setting, arguments, problem, source, tiny_model, tmp_path
):
    model = tiny_model("bert", num_hidden_layers=3)
    head = trained(source, tmp_path / "store", model, setting=setting, **arguments)
    with pytest.raises(HeadError, match=problem):
        merge_head(head, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_other_heads_and_other_models_are_refused(source, tiny_model, tmp_path):
    model = tiny_model("bert", num_hidden_layers=3)
    table = states(source, tmp_path / "store", model)
    linear = train_head(source, table, valid=source, config=TrainConfig(epochs=1))
    with pytest.raises(HeadError, match="of kind 'linear'"):
        merge_head(linear, tmp_path / "merged")
    head = trained(source, tmp_path / "store", model)
    with pytest.raises(ModelError, match="not the one"):
        merge_head(head, tmp_path / "merged", model=tiny_model("bert", intermediate_size=24))
    with pytest.raises(HeadError, match="the folder of the model itself"):
        merge_head(head, model, overwrite=True)
