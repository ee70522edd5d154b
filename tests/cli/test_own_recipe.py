"""Commands on a model that brings its own recipe, and a store through it."""

import json
import shutil

import numpy as np
import pytest
from enc.store import Store
from enc.store.batches import PlannedFeatures
from safetensors.numpy import save_file

HIDDEN, WIDTH = 16, 6
FILES = {
    "modules.json": [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{name}" if i else "",
            "type": f"sentence_transformers.models.{name}",
        }
        for i, name in enumerate(["Transformer", "Pooling", "Dense", "Normalize"])
    ],
    "sentence_bert_config.json": {"max_seq_length": 20},
    "config_sentence_transformers.json": {
        "prompts": {"query": "a query: ", "text": "a text: "},
        "default_prompt_name": "query",
    },
    "1_Pooling/config.json": {"pooling_mode": ["cls", "mean"]},
    "2_Dense/config.json": {
        "in_features": 2 * HIDDEN,
        "out_features": WIDTH,
        "bias": False,
        "activation_function": "torch.nn.modules.activation.Tanh",
    },
}


@pytest.fixture
def model(tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "model")
    for name, value in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    weight = np.random.default_rng(1).normal(size=(WIDTH, 2 * HIDDEN)).astype(np.float32)
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.fixture
def built(enc, reviews, model, tmp_path):
    """Encode the reviews with options; the setting of the feature set, and what was told."""

    def built(*options):
        store = tmp_path / "store"
        named = () if "--name" in options else ("--model", model)
        result = enc("build-features", reviews, "--store", store, *named, *options, "--json")
        name = json.loads(result.stdout)["feature_set"]
        return Store(store).open(name), result.stderr

    return built


def test_the_recipe_is_the_default(built, model):
    table, told = built()
    assert table.name == "model-cls-mean-dense-normalize-20-aquery"
    assert (table.spec.shape, table.spec.prefix) == ((WIDTH,), "a query: ")
    told_once = "cls and mean pooling, a dense layer to 6 (tanh), normalized, as its modules.json says"
    assert told.count(told_once) == 1
    features = PlannedFeatures(table.shards, table.spec, np.arange(table.rows), batches="mapped")
    lengths = np.linalg.norm(features.take(np.arange(table.rows)).astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)
    again, told = built("--name", table.name)
    assert again.spec == table.spec
    assert "modules.json" not in told


def test_options_go_first(built):
    assert built("--prompt", "text")[0].spec.prefix == "a text: "
    assert built("--prefix", "")[0].spec.prefix == ""
    plain, told = built("--pooling", "mean")
    assert (plain.name, plain.spec.after_pooling) == ("model-mean-64", ())
    assert "was trained with prompts, and none is used: --prompt takes query 'a query: '" in told
    assert built("--pooling", "mean", "--normalize")[0].spec.after_pooling == ("normalize",)


def test_a_named_set_has_one_setting(enc, built, reviews, tmp_path):
    table, _ = built("--prompt", "text", "--name", "mine", "--model", tmp_path / "model")
    for other in (("--prompt", "query"), ("--pooling", "cls"), ("--pooling", "cls,mean")):
        mine = ("--store", tmp_path / "store", "--name", "mine")
        message = enc("build-features", reviews, *mine, *other, code=2).stderr
        assert "mine" in message.splitlines()[-1]
    assert built("--prompt", "text", "--name", "mine")[0].spec == table.spec


def test_a_head_on_the_recipe(enc, built, reviews, scored, model, tmp_path):
    built()
    store, head = ("--store", tmp_path / "store"), tmp_path / "head"
    enc("train-head", reviews, "--valid-fraction", 0.3, *store, "--output", head)
    assert scored(store, head).num_rows == 60
    text = enc("predict", "--head", head, "good good 3").stdout
    (model / "2_Dense" / "model.safetensors").unlink()
    error = enc("predict", "--head", head, "good good 3", code=2).stderr
    assert "2_Dense/model.safetensors is missing" in error
    weight = np.ones((WIDTH, 2 * HIDDEN), np.float32)
    save_file({"linear.weight": weight}, model / "2_Dense" / "model.safetensors")
    error = enc("predict", "--head", head, "good good 3", code=2).stderr
    assert "has no linear layer with the digest" in error
    assert text


def test_parts_of_a_whole_vector(enc, built, reviews, tmp_path):
    built()
    train = ("train-head", reviews, "--valid-fraction", 0.3, "--store", tmp_path / "store")
    error = enc(*train, "--output", tmp_path / "head", "--use", "pooling=cls", code=2).stderr
    assert "are whole vectors that were normalized or went through linear layers" in error
