"""Heads as plain torch weights, and the tutorial's recipe from features to predictions."""

import dataclasses

import numpy as np
import pytest
import torch
from enc.engine import Fraction, build_features, load_encoder
from enc.engine.heads.labels import Labels
from enc.engine.heads.networks import token_mask
from enc.engine.heads.state_dict import export_state_dict, import_state_dict
from enc.engine.train.config import RECIPES as TRAIN_RECIPES
from enc.engine.train.config import TrainConfig
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import fit
from enc.store import RECIPES, HeadError, LabelError, Source, Store
from enc.store.orders import epoch_order
from fakes import FakeEncoder, fake_spec
from torch import nn


@pytest.fixture
def source(tmp_path):
    rows = [f"{'good ' * (1 + i % 4)}{i}\t{i % 4 // 2}\t{i % 4 * 1.5}" for i in range(60)]
    (tmp_path / "t.tsv").write_text("sentence\tlabel\tstars\n" + "\n".join(rows) + "\n")
    return Source(tmp_path / "t.tsv")


@pytest.fixture
def data(source, tmp_path):
    build_features(source, tmp_path / "store", FakeEncoder())
    return load_examples(source, Store(tmp_path / "store").open(), valid=Fraction(0.2))


class Network(nn.Module):
    """The tutorial's."""

    def __init__(self, inputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, 2)

    def forward(self, x):
        return self.fc1(x.flatten(1))


FEATURES = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32) * 3 + 5


def test_a_linear_head_is_one_linear_layer(data, tmp_path):
    head = fit(data, TrainConfig(learning_rate=0.1))
    assert export_state_dict(head, tmp_path / "BERT_net.pth") == ["fc1.weight", "fc1.bias"]
    network = Network(4)
    network.load_state_dict(torch.load(tmp_path / "BERT_net.pth", weights_only=True))
    with torch.inference_mode():
        np.testing.assert_allclose(
            torch.softmax(network(torch.from_numpy(FEATURES)), 1), head.predict_proba(FEATURES), atol=1e-5
        )
    again = import_state_dict(tmp_path / "BERT_net.pth", head.spec, head.labels, feature_set="set")
    np.testing.assert_allclose(again.predict_proba(FEATURES), head.predict_proba(FEATURES), atol=1e-5)
    again.save(tmp_path / "again")
    assert [path.name for path in tmp_path.glob("*.pth*")] == ["BERT_net.pth"]


def test_a_regression_keeps_its_units(source, tmp_path):
    build_features(source, tmp_path / "store", FakeEncoder())
    table = Store(tmp_path / "store").open()
    head = fit(
        load_examples(source, table, valid=Fraction(0.2), label_column="stars", task="regression"),
        TrainConfig(),
    )
    export_state_dict(head, tmp_path / "w.pth")
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    given = FEATURES @ state["fc1.weight"].numpy().T + state["fc1.bias"].numpy()
    np.testing.assert_allclose(given[:, 0], head.predict(FEATURES), rtol=1e-4)


def test_other_heads_need_unscaled_features(data, tmp_path):
    with pytest.raises(HeadError, match="--no-standardize"):
        export_state_dict(fit(data, TrainConfig(head="mlp", epochs=1)), tmp_path / "w.pth")
    head = fit(data, TrainConfig(head="mlp", head_args={"hidden": 3}, epochs=1, standardize=False))
    export_state_dict(head, tmp_path / "w.pth")
    options = dict(feature_set="set", kind="mlp", arguments={"hidden": 3})
    again = import_state_dict(tmp_path / "w.pth", head.spec, head.labels, **options)
    np.testing.assert_array_equal(again.predict_proba(FEATURES), head.predict_proba(FEATURES))


class Evil:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"fc1.weight": torch.zeros(2, 5), "fc1.bias": torch.zeros(2)},
            r"\[2, 5\].* but a linear head of 2 labels .* \[2, 4\]",
        ),
        ({"weight": torch.zeros(2, 4)}, r"has weight \[2, 4\], but"),
        ([1, 2], "holds no state_dict"),
        ({"fc1.weight": Evil()}, "not a file of weights alone"),
        (None, "not a file of weights alone"),
    ],
)
def test_what_is_no_such_file(tmp_path, capsys, content, message):
    path = tmp_path / "w.pth"
    path.write_bytes(b"hello") if content is None else torch.save(content, path)
    with pytest.raises(HeadError, match=message):
        import_state_dict(path, fake_spec(), Labels((0, 1)), feature_set="set")
    assert not capsys.readouterr().out
    with pytest.raises(HeadError, match="cannot read"):
        import_state_dict(tmp_path / "absent.pth", fake_spec(), Labels((0, 1)), feature_set="set")


def test_labels_in_a_list():
    assert Labels.parse(["0", " 1"]).values == (0, 1)
    assert Labels.parse(["bad", "1"]).values == ("bad", "1")
    for values in (["a"], ["a", "a"], ["a", ""]):
        with pytest.raises(LabelError, match="two or more"):
            Labels.parse(values)


def test_flat32_trains_as_a_plain_loop_does(source, tiny_bert, tmp_path):
    build_features(
        source, tmp_path / "store", load_encoder(str(tiny_bert), **RECIPES["flat32"], backend="torch")
    )
    data = load_examples(source, Store(tmp_path / "store").open(), valid=Fraction(0.2))
    config = TrainConfig(**TRAIN_RECIPES["flat32"])
    head = fit(data, config)

    features = torch.from_numpy(data.train.features.take(np.arange(data.train.features.rows))).float()
    assert token_mask(features).all()  # padding is attended to, and counts
    targets = torch.from_numpy(data.train.targets).long()
    torch.manual_seed(config.seed)
    network = Network(32 * 16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    losses = []
    for epoch in range(1, 5):
        total = 0.0
        for rows in torch.from_numpy(epoch_order(len(targets), config.seed, epoch)).split(16):
            loss = nn.functional.cross_entropy(network(features[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / len(targets))
    assert [row["train_loss"] for row in head.history] == pytest.approx(losses, rel=1e-5)
    export_state_dict(head, tmp_path / "BERT_net.pth")
    saved = torch.load(tmp_path / "BERT_net.pth", weights_only=True)
    torch.testing.assert_close(saved["fc1.weight"], network.fc1.weight.detach(), atol=1e-5, rtol=1e-4)
    assert dataclasses.asdict(config)["batch_size"] == 16
