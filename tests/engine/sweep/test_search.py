"""From a sweep to one head."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from enc.engine import Folds, Fraction, Head, build_features
from enc.engine.encode.encoder import stored
from enc.engine.sweep.comparison import compared_settings
from enc.engine.sweep.grid import parse_sweep
from enc.engine.sweep.search import _by_setting, search
from enc.engine.train.config import TrainConfig
from enc.engine.train.examples import load_examples
from enc.engine.train.fit import fit
from enc.store import DivergedError, HeadError, SourceError, Store
from fakes import FakeEncoder

BASE = TrainConfig(epochs=3, batch_size=16, seed=5)


def test_folds_hold_out_every_row_once_and_no_text_twice(source, table):
    found = search(source, table, grid={"learning_rate": [0.1, 0.3]}, valid=Folds(4), seeds=2, config=BASE)
    out = found.out_of_fold
    assert (out.num_rows, out.column_names[:5]) == (129, ["source", "row", "fold", "label", "prediction"])
    assert out["row"].to_pylist() == list(range(1, 130))
    folds = out["fold"].to_numpy()
    assert sorted(np.bincount(folds[:120]).tolist()) == [30] * 4
    assert folds[120:].tolist() == folds[:9].tolist()  # the same texts
    assert set(out["label"].to_pylist()) == {"a", "b"}
    assert found.runs.num_rows == 2 * 4 * 2
    accuracy = np.mean(
        [p == t for p, t in zip(out["prediction"].to_pylist(), out["label"].to_pylist(), strict=True)]
    )
    first = [r for r in found.compared[0].results if r.run.config.seed == 5]
    first = [r.metrics["accuracy"] * np.sum(folds == r.run.fold) for r in first]
    assert accuracy == pytest.approx(sum(first) / 129)
    assert found.head.metrics["accuracy"] == pytest.approx(found.compared[0].mean)
    for compared in found.compared:
        values = [result.metrics["accuracy"] for result in compared.results]
        assert (compared.mean, compared.deviation) == pytest.approx((np.mean(values), np.std(values)))


@pytest.mark.parametrize(
    "options", [{"label_column": "label"}, {"label_column": "stars", "task": "regression"}]
)
def test_an_ensemble_averages_its_seeds(source, table, tmp_path, options):
    found = search(
        source, table, grid={}, seeds=3, ensemble=True, valid=Fraction(0.3), config=BASE, **options
    )
    features = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32) + 3
    head = found.head
    with torch.inference_mode():
        members = [
            head.task.torch.activation(r.network(torch.from_numpy(features)))
            for r in found.compared[0].results
        ]
    np.testing.assert_allclose(
        head.outputs(features), torch.stack(members).mean(0).numpy(), rtol=1e-4, atol=1e-6
    )
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
    found = search(source, Store(tmp_path / "two").open(), grid=grid, valid=Fraction(0.3), config=BASE)
    best = found.compared[0].setting["use"]
    assert found.head.spec.layers == tuple(int(n) for n in best.partition("=")[2].split(","))


def test_values_of_several_kinds_are_one_column(source, table, tmp_path):
    grid = parse_sweep(["head_args.hidden=4,[4,8],[4, 8]", "head_args.dropout=0,0.5"])
    found = search(
        source, table, grid=grid, valid=Fraction(0.3), config=dataclasses.replace(BASE, head="mlp")
    )
    assert sorted(found.runs["head_args.hidden"].to_pylist()) == ["4", "4", "[4, 8]", "[4, 8]"]
    assert sorted(found.runs["head_args.dropout"].to_pylist()) == [0.0, 0.0, 0.5, 0.5]
    found.head.save(tmp_path / "head", found.tables)
    assert Head.load(tmp_path / "head").arguments == found.head.arguments


def test_parts_by_another_name_are_the_same_setting(source, tmp_path):
    build_features(source, tmp_path / "two", FakeEncoder(layers=(1, 2)))
    grid = parse_sweep(["use=layers=1,layers=1-2,layers=1,2"])
    found = search(source, Store(tmp_path / "two").open(), grid=grid, valid=Fraction(0.3), config=BASE)
    assert sorted(found.runs["use"].to_pylist()) == ["layers=1", "layers=1-2"]


SGD = dataclasses.replace(BASE, optimizer="sgd", standardize=False)


@pytest.mark.parametrize("options", [{"valid": Fraction(0.3)}, {"valid": Folds(3)}])
def test_a_setting_that_diverges_comes_last(source, table, options):
    told = []
    found = search(
        source, table, grid={"learning_rate": [1e38, 0.001]}, seeds=2, config=SGD, say=told.append, **options
    )
    assert [compared.setting["learning_rate"] for compared in found.compared] == [0.001, 1e38]
    assert (found.compared[1].mean, found.compared[1].complete) == (None, [])
    runs = found.runs.to_pylist()
    assert [run["diverged"] for run in runs] == [run["learning_rate"] > 1 for run in runs]
    assert {run["accuracy"] is None for run in runs if run["diverged"]} == {True}
    half = len(runs) // 2
    assert (
        told[-1]
        == f"{half} of {2 * half} runs diverged: their loss is no number; a lower learning rate may help them"
    )
    assert np.isfinite(found.head.metrics["loss"])


@pytest.mark.parametrize("options", [{"valid": Fraction(0.3)}, {"valid": Folds(3)}])
def test_an_error_where_all_diverge(source, table, options):
    with pytest.raises(
        DivergedError, match=r"of .* runs diverged, and no setting is left.*sweep learning rates below 1e\+37"
    ):
        search(source, table, grid={"learning_rate": [1e38, 1e37]}, config=SGD, **options)


def test_a_seed_that_diverged_is_left_out_of_its_setting(source, table):
    results = search(
        source, table, grid={"learning_rate": [0.001, 0.1]}, seeds=2, valid=Fraction(0.3), config=SGD
    ).compared
    results = [result for compared in results for result in compared.results]
    lost = {id(result) for result in results if result.run.config.seed == 6}
    results = [
        dataclasses.replace(r, metrics=dict.fromkeys(r.metrics), diverged=True) if id(r) in lost else r
        for r in results
    ]
    compared = compared_settings(_by_setting(results, ["learning_rate"]), "loss")
    assert [[result.run.config.seed for result in one.complete] for one in compared] == [[5], [5]]
    assert compared[0].mean == compared[0].complete[0].metrics["loss"] <= compared[1].mean
    # One without a lost run comes before all that have one.
    whole = [
        r
        for r in results
        if r.run.config.learning_rate == compared[0].setting["learning_rate"] or not r.diverged
    ]
    assert compared_settings(_by_setting(whole, ["learning_rate"]), "loss")[0].setting == compared[1].setting


def test_an_ensemble_of_folds_is_judged_as_one(source, table):
    config = dataclasses.replace(BASE, learning_rate=0.1, batch_size=32)
    found = search(source, table, grid={}, seeds=3, valid=Folds(4), ensemble=True, config=config)
    out = found.out_of_fold
    data = load_examples(source, table, valid=Folds(2))
    folds, features = out["fold"].to_numpy(), torch.from_numpy(data.train.features.take(np.arange(129)))
    accuracies, losses = [], []
    for fold in range(4):
        rows = np.flatnonzero(folds == fold)
        members = [result.network for result in found.compared[0].results if result.run.fold == fold]
        with torch.inference_mode():
            averages = (
                torch.stack([torch.softmax(member(features[rows]), 1) for member in members]).mean(0).numpy()
            )
        np.testing.assert_allclose(out["proba_b"].to_numpy()[rows], averages[:, 1], rtol=1e-5)
        targets = data.train.targets[rows]
        accuracies.append(np.mean(averages.argmax(1) == targets))
        losses.append(-np.mean(np.log(averages[np.arange(len(rows)), targets])))
    assert len(members) == 3
    assert found.head.metrics["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found.head.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert found.head.record["figures_of"] == "the ensemble of 3 seeds on 4 held-out folds"
    for seed, network in zip((5, 6, 7), found.head.network.members, strict=True):
        alone = fit(data, dataclasses.replace(config, seed=seed), order_seed=5)
        torch.testing.assert_close(
            network.head.fc1.weight, alone.network.head.fc1.weight, rtol=1e-3, atol=1e-4
        )
    single = search(source, table, grid={}, seeds=3, valid=Folds(4), config=config).head
    assert single.record["figures_of"] == "the setting on 4 held-out folds, means of 3 seeds"
    assert single.metrics["loss"] == pytest.approx(
        np.mean([r.metrics["loss"] for r in found.compared[0].results]), rel=1e-4
    )
    assert found.head.metrics["loss"] < single.metrics["loss"]  # of averages, by Jensen's inequality


def test_a_head_that_cannot_be_stacked_is_trained_alone(source, tmp_path):
    encoder = FakeEncoder(pooling=("tokens",))
    encoder.features = lambda batch: stored(
        np.repeat((batch.input_ids * batch.attention_mask)[..., None].astype(np.float32), 4, axis=-1),
        encoder.spec,
    )
    build_features(source, tmp_path / "tokens", encoder)
    told = []
    table = Store(tmp_path / "tokens").open()
    config = dataclasses.replace(BASE, head="lstm", head_args={"hidden": 4}, epochs=1)
    for options in ({"valid": Fraction(0.3)}, {"valid": Folds(3)}):
        found = search(
            source, table, grid={"learning_rate": [0.1, 0.2]}, config=config, say=told.append, **options
        )
        assert found.runs.num_rows == 2 * getattr(options["valid"], "count", 1)
    assert "head 'lstm' cannot be stacked" in told[0]


def test_bad_sweeps(source, table):
    with pytest.raises(SourceError, match="pass --seeds"):
        search(source, table, grid={}, ensemble=True, valid=Fraction(0.3))
    with pytest.raises(SourceError, match=r"not by both; leave one out"):
        search(source, table, grid={"use": ["layers=1"]}, use=table.spec, valid=Folds(3))
    for grid in ({"learning_rate": []}, {"optimizer": "adamw"}, {"learning_rate": 0.1}):
        with pytest.raises(SourceError, match="needs a list of one or more values"):
            search(source, table, grid=grid, valid=Folds(3))
    with pytest.raises(SourceError, match="'depth' cannot be swept"):
        search(source, table, grid={"depth": [1]}, valid=Folds(3))
    for seeds in (0, 10**23, 1.5, float("nan")):
        with pytest.raises(SourceError, match="the number of seeds must be a whole number from 1 to 10,000"):
            search(source, table, grid={}, seeds=seeds, valid=Folds(3))
    with pytest.raises(HeadError, match="there are 120"):
        search(source, table, grid={}, valid=Folds(121))
