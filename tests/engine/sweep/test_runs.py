"""Sweeps: many heads in one pass equal the same heads one after another."""

import dataclasses

import pytest
import torch
from enc.engine import Folds, Fraction, build_features
from enc.engine.sweep.folds import fold_of_rows, holding_out
from enc.engine.sweep.grid import Run, runs_of
from enc.engine.sweep.runs import stacked_bytes, train_runs
from enc.engine.sweep.ways import Way
from enc.engine.train.config import TrainConfig
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import fit, make_network
from enc.store import DivergedError, HeadError, Store
from fakes import FakeEncoder

BASE = TrainConfig(epochs=3, batch_size=16, seed=5)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.fixture
def data(source, table):
    return load_examples(source, table, valid=Fraction(0.3), seed=5)


@pytest.fixture
def users(local_module):
    """A module with heads of the user's."""
    local_module(
        "swept_heads",
        "import torch\n"
        "from torch import nn\n"
        "class Plain(nn.Module):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__()\n"
        "        self.hidden, self.out = nn.Linear(shape[0], 5), nn.Linear(5, outputs)\n"
        "    def forward(self, features):\n"
        "        return self.out(self.between(self.hidden(features)).tanh())\n"
        "    def between(self, hidden):\n"
        "        return hidden\n"
        "class Frozen(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.hidden.requires_grad_(False)\n"
        "class RandomBuffer(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.register_buffer('directions', torch.randn(5, 5))\n"
        "    def between(self, hidden):\n"
        "        return hidden @ self.directions\n"
        "class Unused(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.spare = nn.Linear(3, 3)\n"
        "class Tied(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.inner, self.outer = nn.Linear(5, 5, bias=False), nn.Linear(5, 5)\n"
        "        self.outer.weight = self.inner.weight\n"
        "    def between(self, hidden):\n"
        "        return self.outer(self.inner(hidden))\n"
        "class Twice(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.inner = nn.Linear(5, 5)\n"
        "        self.again = self.inner\n"
        "    def between(self, hidden):\n"
        "        return self.again(self.inner(hidden))\n"
        "class Normed(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.norm = nn.BatchNorm1d(5)\n"
        "    def between(self, hidden):\n"
        "        return self.norm(hidden)\n"
        "class Centred(Plain):\n"
        "    def between(self, hidden):\n"
        "        return hidden - hidden.mean(0)\n"
        "class AllFrozen(Plain):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__(shape, outputs)\n"
        "        self.requires_grad_(False)\n",
    )


def assert_as_alone(data, runs, results, seed=5):
    """Each run equals its configuration trained by itself, on rows in the order of the sweep's seed."""
    for run, result in zip(runs, results, strict=True):
        alone = fit(data, run.config, order_seed=seed)
        torch.testing.assert_close(weights(result.network), weights(alone.network), atol=1e-5, rtol=1e-4)
        assert result.metrics == pytest.approx(
            {name: alone.metrics[name] for name in result.metrics}, abs=1e-4
        )


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_equals_the_same_head_trained_alone(data, head, optimizer):
    config = dataclasses.replace(
        BASE,
        head=head,
        head_args={"dropout": 0.0} if head == "mlp" else {},
        optimizer=optimizer,
        schedule="linear",
        warmup=0.2,
    )
    runs = runs_of(config, {"learning_rate": [0.01, 0.1], "weight_decay": [0.0, 0.3], "momentum": [0.0, 0.9]})
    assert_as_alone(data, runs, train_runs(data, runs))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"label_column": "label"}, {"class_weights": "balanced", "label_smoothing": 0.1}),
        ({"label_column": ["letters", "words"]}, {"class_weights": {"words": 2.0}, "label_smoothing": 0.1}),
        ({"label_column": "stars", "task": "regression"}, {}),
    ],
)
@pytest.mark.parametrize("pooling", ["mean", "tokens"])
def test_linear_heads_of_every_task_equal_those_trained_alone(
    source, tmp_path, options, changes, standardize, pooling
):
    build_features(source, tmp_path / "store", FakeEncoder(pooling=(pooling,)))
    data = load_examples(source, Store(tmp_path / "store").open(), valid=Fraction(0.3), seed=5, **options)
    config = dataclasses.replace(BASE, standardize=standardize, **changes)
    runs = runs_of(config, {"learning_rate": [0.003, 0.01]}, seeds=2)
    assert_as_alone(data, runs, train_runs(data, runs))


@pytest.mark.parametrize("batches", ["ram", "streamed"])
def test_all_runs_see_the_rows_in_the_order_of_the_sweeps_seed(source, table, batches, monkeypatch):
    data = load_examples(source, table, valid=Fraction(0.3), seed=5, batches=batches)
    runs = runs_of(
        dataclasses.replace(BASE, optimizer="sgd"), {"label_smoothing": [0.0, 0.2]}, seeds=3
    )  # two groups
    told = []
    monkeypatch.setattr("enc.engine.sweep.runs.STACK_BYTES", 1)  # each run in a pass of its own
    results = train_runs(data, runs, say=told.append)
    assert_as_alone(data, runs, results)
    own_order = fit(data, runs[1].config)
    assert not torch.allclose(weights(results[1].network), weights(own_order.network), atol=1e-5)
    assert_as_alone(data, runs[1:], train_runs(data, runs[1:], seed=5))
    assert sum("one pass" in line for line in told) == 6


def test_the_best_epoch_of_each_run_is_kept(data):
    config = dataclasses.replace(
        BASE, metric="loss", early_stopping=2, epochs=12, optimizer="sgd", weight_decay=0.0
    )
    runs = runs_of(config, {"learning_rate": [0.001, 3.0, 30.0]})
    results = train_runs(data, runs)
    for run, result in zip(runs, results, strict=True):
        alone = fit(data, run.config)
        assert result.epoch == alone.metrics["epoch"]
        assert result.metrics["loss"] == pytest.approx(alone.metrics["loss"], rel=1e-4)
    assert len({result.epoch for result in results}) > 1


def test_a_fold_is_not_learned_from(source, table):
    data = load_examples(source, table, valid=Folds(2))
    folds = fold_of_rows(data.train.features.locations, 3, 0)
    run = Run(dataclasses.replace(BASE, optimizer="sgd", standardize=False, batch_size=200, epochs=1), fold=1)
    assert_as_alone(holding_out(data, folds, 1), [run], train_runs(data, [run], folds=folds))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["Plain", "Frozen", "RandomBuffer", "Unused", "Tied"])
def test_a_head_of_the_users_is_stacked(users, data, kind, optimizer):
    config = dataclasses.replace(
        BASE, head=f"swept_heads:{kind}", allow_code=True, optimizer=optimizer, weight_decay=0.3
    )
    runs, told = runs_of(config, {"learning_rate": [0.01, 0.1]}, seeds=2), []
    results = train_runs(data, runs, say=told.append)
    assert told == ["4 heads trained in one pass of 3 epochs, as one stack on 1 thread"]
    assert_as_alone(data, runs, results)
    fixed = {
        "Frozen": "head.hidden.weight",
        "RandomBuffer": "head.directions",
        "Unused": "head.spare.weight",
    }.get(kind)
    if fixed:  # each run's own, from its seed, and never decayed
        values = [result.network.state_dict()[fixed] for result in results]
        assert torch.equal(values[0], values[2])
        assert not torch.equal(values[0], values[1])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Normed", "its buffer 'norm.running_mean' changes in training"),
        ("Twice", "it has a module under two names"),
    ],
)
def test_a_head_that_cannot_be_stacked_is_trained_alone(users, data, kind, reason):
    runs, told = (
        runs_of(
            dataclasses.replace(BASE, head=f"swept_heads:{kind}", allow_code=True),
            {"learning_rate": [0.01, 0.1]},
        ),
        [],
    )
    results = train_runs(data, runs, say=told.append)
    assert told == [
        f"head 'swept_heads:{kind}' cannot be stacked ({reason}); its 2 runs follow one after another"
    ]
    assert_as_alone(data, runs, results)


def test_a_head_that_mixes_rows_would_see_those_it_holds_out(users, source, table):
    data, told = load_examples(source, table, valid=Folds(2)), []
    folds = fold_of_rows(data.train.features.locations, 2, 0)
    config = dataclasses.replace(BASE, head="swept_heads:Centred", allow_code=True)
    train_runs(data, runs_of(config, {}), say=told.append)
    assert "one pass" in told[0]
    runs = runs_of(config, {}, folds=2)
    results = train_runs(data, runs, folds=folds, say=told.append)
    assert "it mixes the rows of a batch, and would learn from those it holds out" in told[1]
    for fold in range(2):
        assert_as_alone(holding_out(data, folds, fold), runs[fold : fold + 1], results[fold : fold + 1])


def test_a_head_of_which_nothing_is_trained(users, data):
    with pytest.raises(HeadError, match="'swept_heads:AllFrozen' has no weights to train"):
        train_runs(data, [Run(dataclasses.replace(BASE, head="swept_heads:AllFrozen", allow_code=True))])


@pytest.mark.parametrize("head", ["linear", "swept_heads:Normed"])
@pytest.mark.parametrize("metric", [None, "loss"])
def test_a_run_that_diverges_does_not_stop_the_others(users, data, head, metric):
    changes = dict(optimizer="sgd", standardize=False, weight_decay=0.0, metric=metric)
    config = dataclasses.replace(BASE, head=head, allow_code=True, **changes)
    runs = runs_of(config, {"learning_rate": [0.001, 1e38, 0.002]})
    results = train_runs(data, runs)
    assert [result.diverged for result in results] == [False, True, False]
    assert set(results[1].metrics.values()) == {None}
    assert results[1].epoch == 0
    assert_as_alone(data, runs[::2], results[::2])
    with pytest.raises(DivergedError, match="diverged in epoch"):
        fit(data, runs[1].config)


def test_a_run_that_has_stopped_cannot_diverge_any_more(data):
    # The weights of the first grow fourfold a step by the decay: it stops, and leaves float32 while the other
    # goes on.
    config = dataclasses.replace(
        BASE, optimizer="sgd", momentum=0.0, metric="loss", early_stopping=1, epochs=40
    )
    configs = [
        dataclasses.replace(config, learning_rate=1.0, weight_decay=5.0),
        dataclasses.replace(config, learning_rate=1e-3, weight_decay=0.0),
    ]
    stopped, other = train_runs(data, [Run(one) for one in configs])
    assert (stopped.diverged, other.diverged) == (False, False)
    assert stopped.epoch == 1
    assert other.epoch == 40
    assert stopped.metrics["loss"] == pytest.approx(fit(data, configs[0]).metrics["loss"], rel=1e-3)


def test_a_large_stack_is_split_into_passes(data, monkeypatch):
    config = dataclasses.replace(BASE, head="mlp", head_args={"dropout": 0.0, "hidden": 8})
    runs, told = runs_of(config, {"learning_rate": [0.01, 0.03, 0.1, 0.2, 0.3]}), []
    each = stacked_bytes(data, config, make_network(data, config))
    monkeypatch.setattr("enc.engine.sweep.runs.STACK_BYTES", 2 * each)
    assert_as_alone(data, runs, train_runs(data, runs, say=told.append))
    assert "they are trained in 3 passes" in told[0]
    assert [line.split()[0] for line in told[1:]] == ["2", "2", "1"]
    smaller = dataclasses.replace(config, batch_size=8)
    per_row = (each - stacked_bytes(data, smaller, make_network(data, smaller))) / 8
    # What ReLU keeps of a row, forwards and backwards, and four times the logits.
    assert 2 * 8 * 4 + 4 * 2 * 4 <= per_row <= 3 * 8 * 4 + 4 * 2 * 4


@pytest.mark.parametrize("head", ["mlp", "cnn", "attention"])
def test_both_ways_give_the_same_heads(source, table, tmp_path, monkeypatch, head):
    """Dropout and all: which way is quicker is measured, and may not decide the result."""
    if head != "mlp":
        encoder = FakeEncoder(pooling=("tokens",))
        build_features(source, tmp_path / "tokens", encoder, name="set")
        table = Store(tmp_path / "tokens").open()
    data = load_examples(source, table, valid=Fraction(0.3), seed=5)
    config = dataclasses.replace(BASE, head=head, head_args={"dropout": 0.5})
    runs = runs_of(config, {"learning_rate": [0.001, 0.01]}, seeds=2)
    found = []
    for way in (Way(True, 1), Way(False, 1)):
        monkeypatch.setattr("enc.engine.sweep.runs.quickest_way", lambda *_, way=way, **__: (way, {}))
        told = []
        found.append(train_runs(data, runs, say=told.append))
        assert told == [f"4 heads trained in one pass of 3 epochs, {way}"]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(weights(one.network), weights(other.network), atol=1e-5, rtol=1e-4)
        assert one.metrics == pytest.approx(other.metrics, abs=1e-4)
    assert not torch.allclose(weights(found[0][0].network), weights(found[0][1].network), atol=1e-3)
