"""Heads on disk; what else is in their folder is in test_train.py."""

import json

import numpy as np
import pytest
import torch
from enc.engine import Head, TrainConfig, encode_texts, train_head
from enc.store import HeadError, Source
from fakes import TEXTS, FakeEncoder
from safetensors.torch import load_file, save_file


def train(source, table, label="long", **options) -> Head:
    return train_head(
        source, table, valid=source, label_column=label, config=TrainConfig(epochs=2, **options)
    )


def test_where_a_head_came_from_is_recorded(labelled, tmp_path):
    source, encoded = labelled
    table = encoded()
    saved = json.loads((train(source, table).save(tmp_path / "head") / "head.json").read_text())
    assert (saved["format"], saved["task"], saved["labels"]) == (2, "single-label", [False, True])
    assert saved["features"]["spec"]["digest"] == table.spec.digest
    record = saved["record"]
    assert record["config"]["head"] == "linear"
    assert (record["label_columns"], record["delta_version"]) == (["long"], 1)
    prints = record["fingerprints"]
    assert prints["train"] == prints["valid"]
    assert len(prints["train"]) == 64
    # Rows in another order are the same rows; another label is not.
    shuffled = Source(query=f"FROM '{source.files()[0]}' ORDER BY hash(text)", allowed_paths=source.files())
    assert train(shuffled, table).record["fingerprints"]["train"] == prints["train"]
    assert train(source, table, "longest").record["fingerprints"]["train"] != prints["train"]
    matrix = json.loads((tmp_path / "head" / "metrics.json").read_text())["confusion_matrix"]
    assert np.sum(matrix) == 84


def test_heads_of_the_first_format_are_read(labelled, tmp_path):
    source, encoded = labelled
    table = encoded(pooling=("tokens",))
    head = train(source, table)
    folder = head.save(tmp_path / "head")
    saved = json.loads((folder / "head.json").read_text())
    del saved["arguments"]
    (folder / "head.json").write_text(json.dumps({**saved, "format": 1, "task": "classification"}))
    # Its scaling had the shape of the features, and took padding for features like any other.
    weights = load_file(folder / "head.safetensors")
    scaling = {name: torch.rand(8, 4) for name in ("mean", "scale")}
    save_file(weights | scaling, folder / "head.safetensors")
    old = Head.load(folder)
    features = torch.from_numpy(encode_texts(FakeEncoder(pooling=("tokens",)), TEXTS))
    scaled = ((features - scaling["mean"]) * scaling["scale"]).flatten(1)
    expected = torch.softmax(scaled @ weights["head.fc1.weight"].T + weights["head.fc1.bias"], 1)
    np.testing.assert_allclose(old.predict_proba(features.numpy()), expected, rtol=1e-4, atol=1e-6)


def test_a_head_of_the_users_is_saved_by_name(labelled, tmp_path, monkeypatch):
    source, encoded = labelled
    monkeypatch.syspath_prepend(tmp_path / "modules")
    (tmp_path / "modules").mkdir()
    code = (
        "from torch import nn\n"
        "class Bilinear(nn.Module):\n"
        "    def __init__(self, shape, outputs, rank=2):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Linear(shape[0], rank), nn.Linear(rank, outputs))\n"
        "    def forward(self, features):\n"
        "        return self.layers(features)\n"
    )
    (tmp_path / "modules" / "bilinear_head.py").write_text(code)
    head = train(source, encoded(), head="bilinear_head:Bilinear", head_args={"rank": 3}, allow_code=True)
    folder = head.save(tmp_path / "head")
    features = encode_texts(FakeEncoder(), TEXTS)
    loaded = Head.load(folder, allow_code=True)
    np.testing.assert_array_equal(loaded.predict_proba(features), head.predict_proba(features))
    with pytest.raises(HeadError, match="pass --allow-code"):
        Head.load(folder)
    saved = json.loads((folder / "head.json").read_text())
    (folder / "evil_head.py").write_text("raise AssertionError('this code was run')")
    (folder / "head.json").write_text(json.dumps({**saved, "kind": "evil_head:Bilinear"}))
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(HeadError, match="lies in the head's folder"):
        Head.load(folder, allow_code=True)


def test_weights_that_are_tied_or_transposed_are_saved(labelled, tmp_path, monkeypatch):
    source, encoded = labelled
    monkeypatch.syspath_prepend(tmp_path)
    code = (
        "import torch\n"
        "class Tied(torch.nn.Module):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__()\n"
        "        self.first = torch.nn.Linear(shape[0], shape[0])\n"
        "        self.second = torch.nn.Linear(shape[0], shape[0])\n"
        "        self.second.weight = self.first.weight\n"
        "        self.out = torch.nn.Parameter(torch.randn(outputs, shape[0]).T)\n"
        "    def forward(self, features):\n"
        "        return self.second(torch.tanh(self.first(features))) @ self.out\n"
    )
    (tmp_path / "tied_head.py").write_text(code)
    head = train(source, encoded(), head="tied_head:Tied", allow_code=True)
    loaded = Head.load(head.save(tmp_path / "head"), allow_code=True)
    features = encode_texts(FakeEncoder(), TEXTS)
    np.testing.assert_array_equal(loaded.predict_proba(features), head.predict_proba(features))
    inner = loaded.network.head
    assert inner.second.weight is inner.first.weight
