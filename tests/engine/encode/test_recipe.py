"""What a model's folder says of its own recipe, and what enc makes of files of other hands."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from enc.engine import load_encoder, load_encoder_of
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.encode.recipe import DenseLayer, read_recipe
from enc.store import ModelError, SpecError
from safetensors.numpy import save_file

HIDDEN = 16
TYPES = "sentence_transformers.models."
WEIGHTS = {"linear.weight": np.ones((6, HIDDEN), np.float32), "linear.bias": np.zeros(6, np.float32)}
DENSE = {
    "in_features": HIDDEN,
    "out_features": 6,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}


class Folder:
    """A model's folder whose recipe a test writes."""

    def __init__(self, path):
        self.path = path
        self.write("modules.json", self.modules("Transformer", "Pooling", "Dense", "Normalize"))
        self.write("sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
        self.write(
            "1_Pooling/config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True}
        )
        self.dense(DENSE, WEIGHTS)

    def modules(self, *names):
        return [
            {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": TYPES + name}
            for i, name in enumerate(names)
        ]

    def write(self, name, value):
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))

    def dense(self, config, weights):
        self.write("2_Dense/config.json", config)
        save_file(weights, self.path / "2_Dense" / "model.safetensors")

    def spec(self, **asked):
        return checkpoint_of(str(self.path), **asked).spec


@pytest.fixture
def folder(tiny_bert, tmp_path):
    return Folder(shutil.copytree(tiny_bert, tmp_path / "model"))


def test_what_a_folder_says(folder):
    recipe = read_recipe(folder.path)
    assert recipe.pooling == ("cls",)
    assert recipe.layers == (DenseLayer("2_Dense/model.safetensors", HIDDEN, 6, "tanh"), None)
    assert (recipe.max_length, recipe.lowercase, recipe.pools_prompt) == (20, False, True)
    spec = folder.spec()
    assert (spec.pooling, spec.shape, spec.max_length) == (("cls",), (6,), 20)
    assert [step.partition(":")[0] for step in spec.after_pooling] == ["dense", "normalize"]


def test_a_folder_without_a_recipe_is_pooled_by_the_mean(tiny_bert):
    said = []
    spec = checkpoint_of(str(tiny_bert), say=said.append).spec
    assert (spec.pooling, spec.after_pooling, spec.max_length) == (("mean",), (), 64)
    assert said[-1] == (
        f"{tiny_bert}: mean pooling is assumed, because its folder has no modules.json; "
        "--pooling chooses another"
    )


def test_what_was_taken_is_told_in_one_line(folder):
    said = []
    checkpoint_of(str(folder.path), say=said.append)
    assert said[-1] == (
        f"{folder.path}: cls pooling, a dense layer to 6 (tanh), normalized, as its modules.json says; "
        "at most 20 tokens of a text"
    )
    said.clear()
    checkpoint_of(str(folder.path), pooling="mean", say=said.append)
    assert said == []


def test_settings_of_before_are_what_they_were(folder, tiny_bert):
    named, plain = folder.spec(pooling="mean"), checkpoint_of(str(tiny_bert), pooling="mean").spec
    assert named.digest == plain.digest


def test_a_changed_layer_is_another_setting(folder):
    first = folder.spec()
    folder.dense(DENSE, WEIGHTS | {"linear.bias": np.full(6, 0.5, np.float32)})
    second = folder.spec()
    assert (first.weights, first.digest != second.digest) == (second.weights, True)
    folder.dense(DENSE | {"activation_function": "torch.nn.modules.activation.GELU"}, WEIGHTS)
    assert len({first.digest, second.digest, folder.spec().digest}) == 3
    with pytest.raises(ModelError, match=r"has no linear layer with the digest [0-9a-f]{12}…; pass --model"):
        load_encoder_of(second)


def test_a_setting_with_a_recipe_is_made_again(folder, tmp_path):
    spec = folder.spec(dtype="float32")
    assert load_encoder_of(spec).spec == spec
    moved = shutil.copytree(folder.path, tmp_path / "moved")
    assert load_encoder_of(spec, model=str(moved)).spec.digest == spec.digest


def test_what_the_user_says_goes_first(folder):
    assert folder.spec(max_length=40).max_length == 40
    assert folder.spec(normalize=True).after_pooling == folder.spec().after_pooling
    assert folder.spec(pooling="max,cls", normalize=True).after_pooling == ("normalize",)
    assert folder.spec(pooling="model").digest == folder.spec().digest
    with pytest.raises(SpecError, match="pooling 'tokens' has none"):
        folder.spec(pooling="tokens", normalize=True)


def test_other_layers_than_the_last_are_pooled_and_no_more(folder):
    said = []
    spec = checkpoint_of(str(folder.path), layers="1,2", say=said.append).spec
    assert (spec.pooling, spec.after_pooling, spec.shape) == (("cls",), (), (2 * HIDDEN,))
    assert "what follows the pooling there is for its last layer, and is left out" in said[-1]
    assert folder.spec(layers="1", normalize=True).after_pooling == ("normalize",)


def test_a_recipe_is_read_without_torch_and_transformers(folder):
    folder.spec()
    script = (
        f"import sys; from enc.engine.encode.checkpoint import checkpoint_of; "
        f"print(len(checkpoint_of({str(folder.path)!r}).spec.after_pooling), "
        "sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


NARROW = {"linear.weight": np.ones((6, 8), np.float32)}
PROMPTS = "config_sentence_transformers.json"


def module(**changes):
    entry = {"idx": 2, "name": "2", "path": "2_Normalize", "type": TYPES + "Normalize"}
    return lambda folder: folder.write(
        "modules.json", [*folder.modules("Transformer", "Pooling"), entry | changes]
    )


def listed(*names):
    return lambda folder: folder.write("modules.json", folder.modules(*names))


def file(name, value):
    return lambda folder: folder.write(name, value)


def pooling(**config):
    return file("1_Pooling/config.json", {"word_embedding_dimension": HIDDEN} | config)


def transformer(**config):
    return file("sentence_bert_config.json", config)


def layer(weights=WEIGHTS, **config):
    return lambda folder: folder.dense(DENSE | config, weights)


def pickled(folder):
    (folder.path / "2_Dense" / "model.safetensors").rename(folder.path / "2_Dense" / "pytorch_model.bin")


def without(name):
    return lambda folder: (folder.path / name).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            module(type="custom_st.Transformer"),
            r"names the module 'custom_st.Transformer', which enc",
        ),
        (module(type=TYPES + "CLIPModel"), r"the module 'sentence_transformers.models.CLIPModel'"),
        (module(type="sentence_transformers.models.x.Pooling.Evil()"), "names the module"),
        (module(type=7), "names the module '7'"),
        (module(path="../.."), r"modules.json has the path '../..', which leaves the model's folder"),
        (module(path="*"), "leaves the model's folder"),
        (module(path="/etc"), "leaves the model's folder"),
        (module(path="a\\..\\b"), "leaves the model's folder"),
        (module(path=3), "has the path 3, which is no text"),
        (module(name="1"), "names two modules '1'"),
        (listed("Transformer"), r"modules.json lists Transformer; enc follows a Transformer and a Pooling"),
        (listed("Transformer", "Dense", "Pooling"), "lists Transformer, Dense, Pooling"),
        (listed("Transformer", "Pooling", "Pooling"), "lists Transformer, Pooling, Pooling"),
        (listed(), "lists nothing"),
        (file("modules.json", "[" * 100_000), "modules.json cannot be read"),
        (file("modules.json", '{"a": 1}'), "modules.json holds no list of modules"),
        (file("modules.json", "[1]"), "modules.json holds no list of modules"),
        (without("1_Pooling/config.json"), "1_Pooling/config.json is missing"),
        (file("1_Pooling/config.json", "[]"), "1_Pooling/config.json holds no JSON object"),
        (pooling(pooling_mode="median"), r"has the pooling \['median'\]; enc has cls, mean"),
        (pooling(pooling_mode=["cls", {}]), "has the pooling"),
        (pooling(pooling_mode=["cls", "cls"]), "has a pooling twice"),
        (pooling(pooling_mode_cls_token="yes"), "which is neither true nor false"),
        (pooling(pooling_mode_attention=True), "sets 'pooling_mode_attention', which this release of enc"),
        (transformer(max_seq_length=-1), "which is no whole number above 0"),
        (transformer(max_seq_length=True), "which is no whole number above 0"),
        (transformer(max_seq_length="12"), "which is no whole number above 0"),
        (
            transformer(transformer_task="fill-mask"),
            r"than the hidden states of texts \(transf",
        ),
        (
            transformer(modality_config={"message": {}}),
            r"than the hidden states of texts \(modal",
        ),
        (transformer(model_args={"torch_dtype": "float16"}), "sets 'model_args', which enc does not follow"),
        (transformer(processing_kwargs={"text": {"padding": "max_length"}}), "sets 'processing_kwargs'"),
        (transformer(sliding=3), "sets 'sliding', which this release of enc does not know"),
        (
            layer(activation_function="builtins.eval"),
            "has the activation 'builtins.eval', which enc",
        ),
        (layer(activation_function="torch.nn.modules.activation.Softmax"), "has the activation"),
        (layer(activation_function="torch.nn.functional.tanh.x"), "has the activation"),
        (layer(in_features=8), r"2_Dense/model.safetensors holds tensors .* but its configuration wants"),
        (layer(bias=False), "holds tensors"),
        (
            layer(NARROW, in_features=8, bias=False),
            "takes 8 features, but gets 16",
        ),
        (layer(out_features=None), "lacks in_features or out_features"),
        (layer(use_residual=True), r"adds the input to the output \(use_residual\)"),
        (layer(module_input_name="token_embeddings"), "works on 'token_embeddings'"),
        (layer(rank=2), "sets 'rank'"),
        (pickled, r"2_Dense/model.safetensors is missing; a pytorch_model.bin in its place is a pickle"),
        (without("2_Dense/model.safetensors"), "2_Dense/model.safetensors is missing"),
        (file("2_Dense/model.safetensors", "no tensors"), "2_Dense/model.safetensors cannot be read"),
        (file(PROMPTS, {"model_type": "SparseEncoder"}), "is of a SparseEncoder"),
        (
            file(PROMPTS, {"truncate_dim": 8}),
            r"cuts vectors short \(truncate_dim\)",
        ),
        (file("3_Normalize/config.json", {"module_input_name": "x"}), "works on 'x'"),
        (file("tokenizer_config.json", {"truncation_side": "left"}), r"cuts texts on the left"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_names_the_way_out(folder, change, message):
    change(folder)
    with pytest.raises(ModelError, match=message) as raised:
        folder.spec()
    shown = str(raised.value)
    assert shown.startswith(f"the recipe of model '{folder.path}' cannot be followed: ")
    assert shown.endswith("; --pooling mean, cls or another leaves the recipe out")
    assert "\n" not in shown
    if "tokenizer" not in message and "on the left" not in message:
        assert folder.spec(pooling="mean").pooling == ("mean",)


@pytest.mark.parametrize(
    "change",
    [
        transformer(
            max_seq_length=20, do_lower_case=False, model_args={"trust_remote_code": True}, later=None
        ),
        transformer(
            max_seq_length=20, unpad_inputs=True, query_length=5, module_output_name="token_embeddings"
        ),
        pooling(pooling_mode="cls", pooling_mode_mean_tokens=True, embedding_dimension=HIDDEN),
        pooling(pooling_mode_cls_token=True, include_prompt=True, later=False),
        layer(module_input_name="sentence_embedding", module_output_name="sentence_embedding"),
        layer(activation_function="torch.nn.Tanh", use_residual=False),
        file("3_Normalize/config.json", {"module_input_name": "sentence_embedding"}),
        file(PROMPTS, {"model_type": "SentenceTransformer", "prompts": {}}),
    ],
)
def test_what_changes_nothing_is_no_error(folder, change):
    before = folder.spec().digest
    change(folder)
    assert folder.spec().digest == before


def test_a_transformer_in_a_folder_of_its_own(folder):
    modules = folder.modules("Transformer", "Pooling")
    modules[0]["path"] = "0_Transformer"
    folder.write("modules.json", modules)
    with pytest.raises(ModelError, match=r"Transformer in the folder '0_Transformer'; pass this"):
        folder.spec()


def test_a_model_that_is_no_text_model_is_named_by_its_module(tmp_path):
    types = [{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": TYPES + "CLIPModel"}]
    (tmp_path / "modules.json").write_text(json.dumps(types))
    with pytest.raises(ModelError, match=r"names the module 'sentence_transformers.models.CLIPModel'"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("model_type", "changes", "kind"),
    [
        ("gpt2", dict(n_embd=16, n_layer=2, n_head=2), "a decoder"),
        ("bert", dict(is_decoder=True), "a decoder"),
        ("t5", dict(d_model=16, num_layers=2), "an encoder with a decoder"),
    ],
)
def test_a_decoder_is_not_followed(tiny_model, model_type, changes, kind):
    path = tiny_model(model_type, **changes)
    folder = Folder(path)
    with pytest.raises(ModelError, match=f"cannot be followed: it is {kind}, and enc is for encoders"):
        folder.spec()


def test_a_pooling_that_leaves_out_the_prompt(folder):
    pooling(pooling_mode_cls_token=True, include_prompt=False)(folder)
    assert folder.spec().prefix == ""
    with pytest.raises(ModelError, match=r"leaves out the prompt's tokens \(include_prompt\)"):
        folder.spec(prefix="query: ")


def test_a_layer_that_changes_after_it_was_read(folder):
    encoder = load_encoder(str(folder.path), backend="torch")
    folder.dense(DENSE, WEIGHTS | {"linear.bias": np.full(6, 0.5, np.float32)})
    with pytest.raises(ModelError, match=r"2_Dense/model.safetensors' has changed since model"):
        _ = encoder.backend


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub that has the folder as a model; a list of what is asked of it."""
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    asked, commit = [], "0123456789abcdef0123456789abcdef01234567"

    def snapshot_download(model, *, allow_patterns=None, ignore_patterns=None, revision=None):
        asked.append((model, revision))
        paths = [p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()]
        for path in filter_repo_objects(
            paths, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        ):
            target = tmp_path / "snapshots" / commit / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder.path / path, target)
        return str(tmp_path / "snapshots" / commit)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked, tmp_path / "snapshots" / commit


def test_the_hub_is_asked_for_the_recipe_too(folder, hub):
    asked, snapshot = hub
    folder.write("onnx/config.json", {})
    folder.write("2_Dense/pytorch_model.bin", "a pickle")
    folder.write(PROMPTS, {"prompts": {"query": "q: "}})
    spec = checkpoint_of("org/name", prompt="query").spec
    assert (spec.digest, spec.model) == (folder.spec(prompt="query").digest, "org/name")
    assert asked == [("org/name", None), ("org/name", snapshot.name)]
    assert not (snapshot / "onnx").exists()
    assert not (snapshot / "2_Dense" / "pytorch_model.bin").exists()
    checkpoint_of("org/name")
    assert asked[2:] == [("org/name", None)]


def test_a_recipe_of_the_hub_that_leaves_the_folder_is_not_fetched(folder, hub):
    module(path="../..")(folder)
    asked, _ = hub
    assert checkpoint_of("org/name", pooling="mean").spec.pooling == ("mean",)
    assert asked == [("org/name", None)]
    with pytest.raises(ModelError, match="leaves the model's folder"):
        checkpoint_of("org/name")
