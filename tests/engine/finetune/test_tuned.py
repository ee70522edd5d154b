"""Fine-tuned models as heads, and heads as what a classifier begins as."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from enc.engine import load_encoder
from enc.engine.classifier import load_classifier
from enc.engine.encode import checkpoint
from enc.store import ModelError
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def test_the_tuned_model_is_a_classifier_for_scoring(tune):
    folder, _, _ = tune()
    head = load_classifier(folder)
    assert head.labels.values == (0, 1)
    texts = ["good good", "no", "a b c d e f"]
    features = _encoded(folder, texts)
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        expected = torch.softmax(model(**tokens).logits, -1).numpy()
    np.testing.assert_allclose(head.predict_proba(features), expected, atol=2e-3)


def _encoded(folder, texts):
    from enc.engine.encode.encoder import encode_texts

    return encode_texts(
        load_encoder(str(folder), backend="torch", precision="fp32", pooling="cls", max_length=24), texts
    )


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "electra", "xlm-roberta"])
def test_architectures_are_taken_apart(tiny_model, tmp_path, model_type):
    sizes = dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32) if model_type == "distilbert" else {}
    source, folder = tiny_model(model_type, num_labels=3, **sizes), tmp_path / "tuned"
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=3).eval()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    (folder / "enc.json").write_text(json.dumps({"max_length": 24}))
    head = load_classifier(folder)
    inputs = AutoTokenizer.from_pretrained(source)(["good room", "bad"], padding=True, return_tensors="pt")
    inputs = {
        name: value
        for name, value in inputs.items()
        if name != "token_type_ids" or model_type in ("bert", "electra")
    }
    with torch.inference_mode():
        expected = torch.softmax(model(**inputs).logits, -1).numpy()
    np.testing.assert_allclose(
        head.predict_proba(_encoded(folder, ["good room", "bad"])), expected, atol=2e-3
    )


def test_a_tuned_model_that_was_read_before_needs_no_transformers(tune):
    folder, _, _ = tune()
    load_classifier(folder)  # the first time, transformers tells the model's sizes
    script = (
        "import sys; from enc.engine.classifier import load_classifier; "
        f"load_classifier({str(folder)!r}); print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_tuned_model_is_verified_where_that_is_asked(tune, monkeypatch):
    folder, _, _ = tune()
    asked, original = [], checkpoint.digests

    def noted(folder, *, verify=False):
        asked.append(verify)
        return original(folder, verify=verify)

    monkeypatch.setattr(checkpoint, "digests", noted)
    load_classifier(folder)
    assert set(asked) == {False}
    asked.clear()
    load_classifier(folder, verify_model=True)
    assert set(asked) == {True}


def test_an_encoder_is_no_classifier(tiny_bert):
    with pytest.raises(ModelError, match="holds an encoder without a classifier"):
        load_classifier(tiny_bert)
