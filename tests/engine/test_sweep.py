"""Sweeps: many heads in one pass equal the same heads one after another."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from enc.engine import Head, build_features
from enc.engine.config import TrainConfig
from enc.engine.data import load_examples
from enc.engine.encoder import stored
from enc.engine.folds import fold_of_rows
from enc.engine.grid import Run, parse_sweep, runs_of
from enc.engine.search import search
from enc.engine.stacked import StackedOptimizer
from enc.engine.sweep import train_runs
from enc.engine.train import fit
from enc.store import HeadError, Source, SourceError, open_feature_set
from fakes import FakeEncoder

BASE = TrainConfig(epochs=3, batch_size=16, seed=5)


@pytest.fixture
def source(tmp_path):
    rows = [f"{'good ' * (1 + i % 4)}{'x' * (i % 7)} {i}\t{'ab'[i % 4 > 1]}\t{i % 4 + i % 3 / 4}" for i in range(120)]
    (tmp_path / "t.tsv").write_text("text\tlabel\tstars\n" + "\n".join([*rows, *rows[:9]]) + "\n")
    return Source(tmp_path / "t.tsv")


@pytest.fixture
def table(source, tmp_path):
    build_features(source, tmp_path / "store", FakeEncoder())
    return open_feature_set(tmp_path / "store")


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_equals_the_same_head_trained_alone(source, table, head, optimizer):
    config = dataclasses.replace(
        BASE, head=head, head_args={"dropout": 0.0} if head == "mlp" else {}, optimizer=optimizer, schedule="linear", warmup=0.2
    )
    data = load_examples(source, table, valid_fraction=0.3, seed=5)
    grid = {"learning_rate": [0.01, 0.1], "weight_decay": [0.0, 0.3], "momentum": [0.0, 0.9]}
    runs = runs_of(config, grid)
    for run, result in zip(runs, train_runs(data, runs), strict=True):
        alone = fit(data, run.config)
        torch.testing.assert_close(weights(result.network), weights(alone.network), atol=1e-5, rtol=1e-4)
        assert result.metrics == pytest.approx({name: alone.metrics[name] for name in result.metrics}, abs=1e-5)


def test_the_best_epoch_of_each_run_is_kept(source, table):
    data = load_examples(source, table, valid_fraction=0.3, seed=5)
    config = dataclasses.replace(BASE, metric="loss", early_stopping=2, epochs=6, optimizer="sgd")
    runs = runs_of(config, {"learning_rate": [0.001, 3.0]})
    for run, result in zip(runs, train_runs(data, runs), strict=True):
        alone = fit(data, run.config)
        assert result.epoch == alone.metrics["epoch"]
        assert result.metrics["loss"] == pytest.approx(alone.metrics["loss"], rel=1e-4)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_stacked_optimizer_is_torchs(kind):
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4, 2), torch.randn(5, 3, 4, 2)
    settings = {"learning_rate": [0.1, 0.01, 0.5], "weight_decay": [0.0, 0.1, 0.01], "momentum": [0.9, 0.0, 0.5]}
    state = {"w": start.clone().requires_grad_()}
    stacked = StackedOptimizer(state, kind, **{name: torch.tensor(values) for name, values in settings.items()})
    for gradient in gradients:
        state["w"].grad = gradient.clone()
        stacked.step(0.5)
    for run in range(3):
        parameter = torch.nn.Parameter(start[run].clone())
        lr, decay = settings["learning_rate"][run] * 0.5, settings["weight_decay"][run]
        if kind == "sgd":
            optimizer = torch.optim.SGD([parameter], lr=lr, momentum=settings["momentum"][run], weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW([parameter], lr=lr, weight_decay=decay)
        for gradient in gradients:
            parameter.grad = gradient[run].clone()
            optimizer.step()
        torch.testing.assert_close(state["w"].detach()[run], parameter.detach(), atol=1e-6, rtol=1e-5)


def test_folds_hold_out_every_row_once_and_no_text_twice(source, table):
    found = search(source, table, grid={"learning_rate": [0.1, 0.3]}, folds=4, seeds=2, config=BASE)
    out = found.out_of_fold
    assert (out.num_rows, out.column_names[:5]) == (129, ["source", "row", "fold", "label", "prediction"])
    assert out["row"].to_pylist() == list(range(1, 130))
    folds = out["fold"].to_numpy()
    assert sorted(np.bincount(folds[:120]).tolist()) == [30] * 4
    assert folds[120:].tolist() == folds[:9].tolist()  # the same texts
    assert set(out["label"].to_pylist()) == {"a", "b"}
    assert found.runs.num_rows == 2 * 4 * 2
    accuracy = np.mean([p == t for p, t in zip(out["prediction"].to_pylist(), out["label"].to_pylist(), strict=True)])
    first = [r for r in found.compared[0].results if r.run.config.seed == 5]
    first = [r.metrics["accuracy"] * np.sum(folds == r.run.fold) for r in first]
    assert accuracy == pytest.approx(sum(first) / 129)
    assert found.head.metrics["accuracy"] == pytest.approx(found.compared[0].mean)


def test_a_fold_is_not_learned_from(source, table):
    data = load_examples(source, table, cross_validate=True)
    folds = fold_of_rows(data.train.features.locations, 3, 0)
    run = Run(dataclasses.replace(BASE, optimizer="sgd", standardize=False, batch_size=200, epochs=1), fold=1)
    (result,) = train_runs(data, [run], folds=folds)
    kept = np.flatnonzero(folds != 1)
    part = dataclasses.replace(data, train=data.train.subset(kept), valid=data.valid.subset(np.flatnonzero(folds == 1)))
    torch.testing.assert_close(weights(result.network), weights(fit(part, run.config).network), atol=1e-6, rtol=1e-5)
    alone = fit(part, run.config)
    assert result.metrics == pytest.approx({name: alone.metrics[name] for name in result.metrics}, abs=1e-6)


def test_a_head_that_cannot_be_stacked_is_trained_alone(source, tmp_path):
    encoder = FakeEncoder(pooling=("tokens",))
    encoder.features = lambda batch: stored(
        np.repeat((batch.input_ids * batch.attention_mask)[..., None].astype(np.float32), 4, axis=-1), encoder.spec
    )
    build_features(source, tmp_path / "tokens", encoder)
    told = []
    table = open_feature_set(tmp_path / "tokens")
    config = dataclasses.replace(BASE, head="lstm", head_args={"hidden": 4}, epochs=1)
    for options in ({"valid_fraction": 0.3}, {"folds": 3}):
        found = search(source, table, grid={"learning_rate": [0.1, 0.2]}, config=config, say=told.append, **options)
        assert found.runs.num_rows == 2 * options.get("folds", 1)
    assert "head 'lstm' cannot be stacked" in told[0]


@pytest.mark.parametrize("options", [{"label_column": "label"}, {"label_column": "stars", "task": "regression"}])
def test_an_ensemble_averages_its_seeds(source, table, tmp_path, options):
    found = search(source, table, grid={}, seeds=3, ensemble=True, valid_fraction=0.3, config=BASE, **options)
    features = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32) + 3
    head = found.head
    with torch.inference_mode():
        members = [head.task.activation(r.network(torch.from_numpy(features))) for r in found.compared[0].results]
    np.testing.assert_allclose(head.outputs(features), torch.stack(members).mean(0).numpy(), rtol=1e-4, atol=1e-6)
    head.save(tmp_path / "head", found.tables)
    loaded = Head.load(tmp_path / "head")
    assert loaded.members == 3
    np.testing.assert_array_equal(loaded.outputs(features), head.outputs(features))
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 3


def test_parts_are_swept(source, tmp_path):
    encoder = FakeEncoder(layers=(1, 2))
    build_features(source, tmp_path / "two", encoder)
    grid = parse_sweep(["use=layers=1,layers=2,layers=1,2"])
    assert grid == {"use": ["layers=1", "layers=2", "layers=1,2"]}
    found = search(source, open_feature_set(tmp_path / "two"), grid=grid, valid_fraction=0.3, config=BASE)
    best = found.compared[0].setting["use"]
    assert found.head.spec.layers == tuple(int(n) for n in best.partition("=")[2].split(","))


def test_sweep_options():
    grid = parse_sweep(
        ["lr=1e-3,0.1", "epochs=2,3", "standardize=true,false", "head_args.hidden=4,8", "use=layers=9-12,pooling=mean"]
    )
    assert grid == {
        "learning_rate": [0.001, 0.1],
        "epochs": [2, 3],
        "standardize": [True, False],
        "head_args.hidden": [4, 8],
        "use": ["layers=9-12,pooling=mean"],
    }
    runs = runs_of(TrainConfig(head="mlp"), grid, seeds=2)
    assert len(runs) == 32
    assert runs[-1].config.head_args == {"hidden": 8}
    assert {run.config.seed for run in runs} == {42, 43}
    for option, message in [
        ("depth=3", "'depth' cannot be swept; there are head, optimizer"),
        ("lr", "write name=value"),
        ("epochs=many", "--sweep epochs cannot be 'many'; it takes int values"),
        ("seed=1,2", "cannot be swept"),
    ]:
        with pytest.raises(SourceError, match=message):
            parse_sweep([option])
    with pytest.raises(SourceError, match="twice"):
        parse_sweep(["lr=1", "learning_rate=2"])
    with pytest.raises(SourceError, match="more than 10,000"):
        runs_of(TrainConfig(), {"learning_rate": [0.1 + i for i in range(101)]}, seeds=100)
    with pytest.raises(SourceError, match="learning_rate must be above 0"):
        runs_of(TrainConfig(), {"learning_rate": [0.0]})


def test_bad_sweeps(source, table):
    with pytest.raises(SourceError, match="pass --seeds"):
        search(source, table, grid={}, ensemble=True, valid_fraction=0.3)
    with pytest.raises(SourceError, match="one way"):
        search(source, table, grid={}, folds=3, valid_fraction=0.3)
    with pytest.raises(HeadError, match="there are 120"):
        search(source, table, grid={}, folds=121)
