"""Features against transformers' own forward pass."""

import shutil

import numpy as np
import pytest
import torch
from enc.engine import build_features, load_encoder, load_encoder_of
from enc.engine.encode.checkpoint import digests
from enc.store import RECIPES, ModelError, Source, SpecError, Store
from enc.store.duck import workspace
from enc.store.lookup import look_up
from enc.store.mapped_tokens import mapped_features
from enc.store.stage import stage_source
from transformers import AutoModel, AutoTokenizer

TEXTS = [
    "a good hotel, very good!",
    "好 酒店 很 好",
    "x",
    "the room was not clean and " * 12,
    "don't, 'quoted' \"twice\"",
    "no. no. no.",
]
TOLERANCE = {"float16": 1e-3, "float32": 1e-5}


def reference_features(folder, texts, pairs, *, max_length, layers, pooling, padded):
    """Straight transformers: a text at a time, or all in one padded batch."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder, dtype=torch.float32).eval(),
    )
    rows = []
    groups = [range(len(texts))] if padded else [[i] for i in range(len(texts))]
    for group in groups:
        batch = tokenizer(
            [texts[i] for i in group],
            [pairs[i] for i in group] if pairs else None,
            truncation=True, max_length=max_length, padding=True, return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            states = model(**batch, output_hidden_states=True).hidden_states
        for row in range(len(group)):
            kept = batch["attention_mask"][row].bool()
            parts = []
            for layer in layers:
                hidden = states[layer][row][kept]
                tokens = torch.zeros(max_length, hidden.shape[1])
                tokens[: len(hidden)] = hidden
                pooled = {
                    "cls": hidden[0],
                    "mean": hidden.mean(0),
                    "max": hidden.max(0).values,
                    "tokens": tokens,
                }
                parts += [pooled[how] for how in pooling]
            rows.append(torch.cat(parts, dim=-1))
    return torch.stack(rows).numpy()


def stored_features(tmp_path, encoder, texts, pairs=None):
    """What build_features left in the store, in the order of the texts."""
    path = tmp_path / "texts.jsonl"
    import json

    path.write_text(
        "\n".join(json.dumps({"a": a, "b": b}) for a, b in zip(texts, pairs or texts, strict=True))
    )
    source = Source(path, text_column="a", pair_column="b" if pairs else None)
    build_features(source, tmp_path / "store", encoder, tokens_per_batch=96)
    table = Store(tmp_path / "store").open()
    with workspace() as con:
        stage = stage_source(con, source)
        locations = look_up(stage, table.shards).locations
    return mapped_features(table.shards, table.spec).take(np.asarray(locations, np.int64))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("pooling", [("mean",), ("cls",), ("max",), ("tokens",), ("max", "mean", "cls")])
@pytest.mark.parametrize("layers", [(2,), (1,), (2, 1)])
def test_features_equal_transformers(tmp_path, tiny_bert, layers, pooling, dtype, padded):
    encoder = load_encoder(str(tiny_bert), pooling=pooling, layers=layers, max_length=32, dtype=dtype)
    expected = reference_features(
        tiny_bert, TEXTS, None, max_length=32, layers=layers, pooling=pooling, padded=padded
    )
    stored = stored_features(tmp_path, encoder, TEXTS)
    assert stored.dtype == np.dtype(dtype)
    np.testing.assert_allclose(stored, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "tokens"])
def test_minilm_features_equal_transformers(tmp_path, pooling, dtype):
    from enc.engine.encode.model_files import model_folder

    encoder = load_encoder("minilm", pooling=pooling, max_length=48, dtype=dtype)
    options = dict(max_length=48, layers=(6,), pooling=(pooling,), padded=True)
    expected = reference_features(model_folder("minilm"), TEXTS, None, **options)
    np.testing.assert_allclose(
        stored_features(tmp_path, encoder, TEXTS), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )


def test_pairs_equal_transformers(tmp_path, tiny_bert):
    pairs = ["good", "", "y " * 60, "z", "a b c", "no"]
    encoder = load_encoder(str(tiny_bert), max_length=32, dtype="float32")
    expected = reference_features(
        tiny_bert, TEXTS, pairs, max_length=32, layers=(2,), pooling=("mean",), padded=False
    )
    np.testing.assert_allclose(
        stored_features(tmp_path, encoder, TEXTS, pairs), expected, rtol=1e-5, atol=1e-5
    )


def test_the_same_model_elsewhere_has_the_same_digest(tmp_path, tiny_bert):
    copy = shutil.copytree(tiny_bert, tmp_path / "copy")
    spec, moved = (
        load_encoder(str(tiny_bert), max_length=16).spec,
        load_encoder(str(copy), max_length=16).spec,
    )
    assert (spec.digest, spec.model) == (moved.digest, str(tiny_bert))
    assert moved.model == str(copy)
    assert load_encoder_of(spec, model=str(copy)).spec.digest == spec.digest

    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lowercase": true', '"lowercase": false'))
    weights, changed = digests(copy)
    assert (weights, changed != spec.tokenizer) == (spec.weights, True)
    with pytest.raises(
        ModelError, match=r"is not the one the features were made with \(tokenizer: .*pass --model"
    ):
        load_encoder_of(spec, model=str(copy))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(max_length=65), ModelError, r"takes 64 tokens; pass --max-length 64"),
        (dict(layers="3"), SpecError, "no layer 3; the model has layers 1 to 2"),
        (dict(pooling="median"), SpecError, "unknown pooling 'median'"),
        (dict(max_length=16, device="cuda:7"), ModelError, "device 'cuda:7' is not here"),
        (dict(max_length=16, device="abacus"), ModelError, "unknown device 'abacus'"),
    ],
)
def test_impossible_settings(tiny_bert, options, error, message):
    if torch.cuda.is_available() and "device" in options:
        pytest.skip("this machine has CUDA, so that asking for it is no error")
    with pytest.raises(error, match=message):
        load_encoder(str(tiny_bert), **options)


def test_unknown_model_names_the_way_out():
    with pytest.raises(
        ModelError, match=r"'no/such-model' is not in the local cache .* a local folder or 'minilm' will do"
    ):
        load_encoder("no/such-model")
    with pytest.raises(ModelError, match=r"'no such model!' is neither a folder nor the name of a model"):
        load_encoder("no such model!")


def test_pickled_weights_are_not_read(tmp_path, tiny_bert):
    folder = shutil.copytree(tiny_bert, tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has no \*\.safetensors .*pytorch_model\.bin"):
        load_encoder(str(folder))


def test_missing_weights_are_an_error(tmp_path, tiny_bert):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_bert, tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "layer.1" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights that its configuration asks for: encoder\.layer\.1"):
        _ = load_encoder(str(folder), max_length=16, backend="torch").backend


def test_values_that_do_not_fit_float16_are_an_error(tmp_path, tiny_bert):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_bert, tmp_path / "large")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.weight"] *= 1e6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = load_encoder(str(folder), max_length=16)
    with pytest.raises(ModelError, match="do not fit float16; pass --dtype float32"):
        list(encoder.encode([encoder.tokenize(["a"]).batch(np.array([0]))]))


@pytest.mark.parametrize("pooling", ["mean", "cls,max", "max"])
@pytest.mark.parametrize("stride", [0, 3])
def test_windows_are_pooled_by_their_tokens(tiny_bert, tmp_path, pooling, stride):
    names = pooling.split(",")
    options = dict(
        max_length=12,
        truncation=True,
        stride=stride,
        return_overflowing_tokens=True,
        padding=True,
        return_tensors="pt",
    )
    batch = AutoTokenizer.from_pretrained(tiny_bert)(TEXTS, **options)
    owners = batch.pop("overflow_to_sample_mapping").numpy()
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tiny_bert, dtype=torch.float32).eval()(**batch).last_hidden_state
    expected = []
    for text in range(len(TEXTS)):
        windows = [states[i][batch["attention_mask"][i].bool()] for i in np.flatnonzero(owners == text)]
        weights = torch.tensor([len(w) for w in windows], dtype=torch.float32)
        pooled = {
            "cls": torch.stack([w[0] for w in windows]).T @ (weights / weights.sum()),
            "mean": torch.cat(windows).mean(0),
            "max": torch.cat(windows).amax(0),
        }
        expected.append(torch.cat([pooled[name] for name in names]))
    encoder = load_encoder(
        str(tiny_bert),
        max_length=12,
        pooling=pooling,
        long_text="windows",
        stride=stride,
        dtype="float32",
        backend="torch",
    )
    encoder.backend.tokens_per_batch = 30  # windows of a text in different batches
    np.testing.assert_allclose(
        stored_features(tmp_path, encoder, TEXTS), torch.stack(expected).numpy(), atol=1e-5
    )


def test_flat32_is_the_tutorials_recipe(tiny_bert, tmp_path):
    tokenizer, model = (
        AutoTokenizer.from_pretrained(tiny_bert),
        AutoModel.from_pretrained(tiny_bert, dtype=torch.float32).eval(),
    )
    expected = []
    for text in TEXTS:
        ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text[:32]))[-32:]
        with torch.inference_mode():
            expected.append(model(torch.tensor([[0] * (32 - len(ids)) + ids])).last_hidden_state[0])
    encoder = load_encoder(str(tiny_bert), **RECIPES["flat32"], backend="torch")
    assert encoder.spec.shape == (32, model.config.hidden_size)
    np.testing.assert_allclose(
        stored_features(tmp_path, encoder, TEXTS), torch.stack(expected).numpy(), atol=1e-3
    )
