"""The cross-validated path of regularisation, against the same done by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from enc.engine import Folds, Fraction, build_features
from enc.engine.sweep.folds import holding_out
from enc.engine.sweep.search_path import search_path
from enc.engine.train.examples import load_examples
from enc.engine.train.solve import solve
from enc.engine.train.solve_config import SolveConfig
from enc.store import SourceError, Store
from enc.store.parts import select_parts
from fakes import FakeEncoder

L2 = [0.001, 10.0, 0.1]


@pytest.mark.parametrize(
    ("options", "metric"),
    [
        ({"label_column": "label"}, "loss"),
        ({"label_column": ["letters", "words"]}, "auc"),
        ({"label_column": "stars", "task": "regression"}, "mse"),
    ],
)
def test_the_best_by_the_mean_of_folds_is_solved_for_on_all_rows(source, table, options, metric):
    config, told = SolveConfig(metric=metric, l2=L2), []
    found = search_path(source, table, valid=Folds(3), config=config, say=told.append, **options)
    data = load_examples(source, table, valid=Folds(2), **options)
    fold_of = found.out_of_fold["fold"].to_numpy()
    means = {}
    for l2 in L2:
        heads = [
            solve(holding_out(data, fold_of, fold), dataclasses.replace(config, l2=[l2])) for fold in range(3)
        ]
        means[l2] = np.mean([head.metrics[metric] for head in heads])
    assert {one.setting["l2"]: one.mean for one in found.compared} == pytest.approx(means, rel=1e-2)
    best = found.compared[0].setting["l2"]
    assert means[best] == pytest.approx((max if metric == "auc" else min)(means.values()), rel=1e-2)
    assert found.head.record["l2"] == best
    assert found.head.metrics[metric] == pytest.approx(found.compared[0].mean, rel=1e-4)
    whole = solve(data, dataclasses.replace(config, l2=[best]))
    torch.testing.assert_close(found.head.network.state_dict(), whole.network.state_dict())
    assert len(told) == 3
    assert (found.runs.num_rows, found.out_of_fold.num_rows) == (9, 129)
    held_out = solve(holding_out(data, fold_of, 1), dataclasses.replace(config, l2=[best]))
    rows = np.flatnonzero(fold_of == 1)
    features = data.train.features.take(rows)
    predicted = found.out_of_fold["prediction"].to_pylist()
    if metric == "mse":
        np.testing.assert_allclose(
            [predicted[row] for row in rows], held_out.predict(features), rtol=1e-2, atol=1e-2
        )
    else:
        name = "proba_b" if metric == "loss" else "proba_words"
        np.testing.assert_allclose(
            found.out_of_fold[name].to_numpy()[rows], held_out.predict_proba(features)[:, 1], atol=1e-2
        )


def test_of_equal_strengths_the_strongest_is_kept(source, table):
    config = SolveConfig(l2=[2000.0, 1000.0, 1000.0])
    found = search_path(source, table, valid=Folds(3), config=config)
    assert [one.setting["l2"] for one in found.compared] == [2000.0, 1000.0]
    assert found.compared[0].mean == found.compared[1].mean


def test_parts_of_the_features_are_chosen_with_the_strength(source, tmp_path):
    build_features(source, tmp_path / "two", FakeEncoder(layers=(1, 2)))
    table, config = Store(tmp_path / "two").open(), SolveConfig(l2=[0.1, 1.0], metric="loss")
    grid = {"use": ["layers=1", "layers=2", "layers=1,2", "layers=1-2"]}
    for valid, runs in ((Fraction(0.3), 1), (Folds(3), 3)):
        found = search_path(source, table, grid=grid, valid=valid, config=config)
        settings = [tuple(one.setting.values()) for one in found.compared]
        assert sorted(settings) == [
            (use, l2) for use in ("layers=1", "layers=1,2", "layers=2") for l2 in (0.1, 1.0)
        ]
        assert found.runs.num_rows == 6 * runs
        best = found.compared[0]
        assert best.mean == min(one.mean for one in found.compared)
        use = select_parts(table.spec, best.setting["use"])
        assert (found.head.spec, found.head.record["l2"]) == (use, best.setting["l2"])
        assert found.head.metrics["loss"] == pytest.approx(best.mean, rel=1e-4)
        assert (found.out_of_fold is not None) == isinstance(valid, Folds)
    data = load_examples(source, table, valid=Fraction(0.3), use=select_parts(table.spec, "layers=2"))
    alone = solve(data, dataclasses.replace(config, l2=[1.0, 0.1]))
    found = search_path(source, table, grid={"use": ["layers=2"]}, valid=Fraction(0.3), config=config)
    torch.testing.assert_close(found.head.network.state_dict(), alone.network.state_dict())


def test_what_it_cannot_do(source, table):
    with pytest.raises(SourceError, match="'learning_rate' cannot be swept with --solver lbfgs"):
        search_path(source, table, grid={"learning_rate": [0.1]}, valid=Folds(3))
    with pytest.raises(SourceError, match="has no metric 'mse'"):
        search_path(source, table, valid=Folds(3), config=SolveConfig(metric="mse"))
    with pytest.raises(SourceError, match="not by both; leave one out"):
        search_path(source, table, grid={"use": ["layers=1"]}, use=table.spec, valid=Folds(3))
