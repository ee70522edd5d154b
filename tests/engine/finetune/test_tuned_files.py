"""Heads of fine-tuned models, read by the names of their weights, against transformers' own logits."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from enc.engine.finetune.tuned_files import is_tuned, read_tuned
from enc.engine.heads.dense import DenseHead
from enc.engine.heads.layouts import LAYOUTS
from enc.store import HeadError, ModelError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification

SIZES = dict(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=30,
    max_position_embeddings=40, pad_token_id=0, num_labels=3,
)  # fmt: skip
DISTILBERT = dict(dim=16, n_layers=1, n_heads=2, hidden_dim=32)


def classifier(model_type, folder, **changes):
    """A random model for sequence classification, saved to a folder."""
    own = DISTILBERT if model_type == "distilbert" else {}
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **SIZES | own | changes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)  # so that the activation is far from a straight line
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("model_type", LAYOUTS)
def test_logits_are_transformers_own(tmp_path, model_type):
    model = classifier(model_type, tmp_path)
    ids = torch.randint(5, 30, (40, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = model(input_ids=ids).logits.numpy()
        features = model.base_model(input_ids=ids).last_hidden_state[:, 0].numpy()
    read = read_tuned(tmp_path)
    weights, biases = (
        tuple(read.weights[f"{layer}.{kind}"] for layer in ("dense", "classifier"))
        for kind in ("weight", "bias")
    )
    found = DenseHead(weights, biases, read.activation).logits(features)
    assert found.dtype == np.float32
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)


def test_what_a_folder_says(tmp_path):
    classifier("bert", tmp_path)
    files = read_tuned(tmp_path)
    assert (files.task, files.names, files.max_length) == (
        "single-label",
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        128,
    )
    record = {"labels": [3, 4, 5], "max_length": 24}
    (tmp_path / "enc.json").write_text(json.dumps(record))
    files = read_tuned(tmp_path)
    assert (files.labels, files.max_length, files.record) == ((3, 4, 5), 24, record)
    classifier("bert", tmp_path, num_labels=1)
    assert (read_tuned(tmp_path).task, read_tuned(tmp_path).labels) == ("regression", ())
    classifier("bert", tmp_path, problem_type="multi_label_classification")
    assert read_tuned(tmp_path).task == "multi-label"
    assert is_tuned(tmp_path)
    (tmp_path / "head.json").touch()
    assert not is_tuned(tmp_path)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision(tmp_path, kind):
    model = classifier("bert", tmp_path)
    model.to(kind).save_pretrained(tmp_path)
    found = read_tuned(tmp_path).weights["classifier.weight"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, model.classifier.weight.detach().float().numpy())


def test_weights_in_several_files(tmp_path):
    model = classifier("roberta", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    weight = model.classifier.out_proj.weight.detach().numpy()
    np.testing.assert_array_equal(read_tuned(tmp_path).weights["classifier.weight"], weight)


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_models_that_cannot_be_read(tmp_path):
    def message(change, kind=ModelError):
        classifier("bert", tmp_path)
        change_weights(tmp_path, change)
        with pytest.raises(kind) as told:
            read_tuned(tmp_path)
        return str(told.value)

    assert "lacks weights of its classifier: classifier.bias" in message(lambda w: w.pop("classifier.bias"))
    assert "classifier.weight is not finite" in message(lambda w: w["classifier.weight"][0].fill_(np.nan))
    bad_shape = {"bert.pooler.dense.bias": torch.zeros(3)}
    assert "the shapes of its head do not fit" in message(lambda w: w.update(bad_shape))
    more = {"classifier.weight": torch.zeros(4, 16), "classifier.bias": torch.zeros(4)}
    assert "has 4 outputs, its config.json has 3 labels" in message(lambda w: w.update(more))

    classifier("bert", tmp_path)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(ModelError, match=r"the weights in '.*' are damaged"):
        read_tuned(tmp_path)
    classifier("bert", tmp_path)
    for text in ("{", '{"labels": [1]}'):
        (tmp_path / "enc.json").write_text(text)
        with pytest.raises(HeadError, match=r"enc.json' is damaged"):
            read_tuned(tmp_path)


def test_architectures_that_are_not_known(tmp_path):
    classifier("roformer", tmp_path)
    with pytest.raises(
        ModelError, match=r"models of type roformer cannot be taken apart .* there are bert, "
    ):
        read_tuned(tmp_path)


def test_reading_needs_neither_torch_nor_transformers(tmp_path):
    classifier("bert", tmp_path)
    code = (
        "import sys, pathlib; from enc.engine.finetune.tuned_files import read_tuned; "
        f"read_tuned(pathlib.Path({str(tmp_path)!r})); print(*{{'torch', 'transformers'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
