"""The cross-validated path of regularisation, against the same done by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from enc.engine.sweep.folds import holding_out
from enc.engine.sweep.search_path import search_path
from enc.engine.train.config import TrainConfig
from enc.engine.train.examples import load_examples
from enc.engine.train.solve import solve
from enc.store import HeadError, SourceError

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
    config, told = TrainConfig(metric=metric), []
    found = search_path(source, table, folds=3, l2=L2, config=config, say=told.append, **options)
    data = load_examples(source, table, cross_validate=True, **options)
    fold_of = found.out_of_fold["fold"].to_numpy()
    means = {}
    for l2 in L2:
        heads = [solve(holding_out(data, fold_of, fold), config, l2=[l2]) for fold in range(3)]
        means[l2] = np.mean([head.metrics[metric] for head in heads])
    assert {one.setting["l2"]: one.mean for one in found.compared} == pytest.approx(means, rel=1e-2)
    best = found.compared[0].setting["l2"]
    assert means[best] == pytest.approx((max if metric == "auc" else min)(means.values()), rel=1e-2)
    assert found.head.record["l2"] == best
    assert found.head.metrics[metric] == pytest.approx(found.compared[0].mean, rel=1e-4)
    whole = solve(data, config, l2=[best])
    torch.testing.assert_close(found.head.network.state_dict(), whole.network.state_dict())
    assert len(told) == 3
    assert (found.runs.num_rows, found.out_of_fold.num_rows) == (9, 129)
    held_out = solve(holding_out(data, fold_of, 1), config, l2=[best])
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
    found = search_path(source, table, folds=3, l2=[2000.0, 1000.0, 1000.0], config=TrainConfig())
    assert [one.setting["l2"] for one in found.compared] == [2000.0, 1000.0]
    assert found.compared[0].mean == found.compared[1].mean


def test_what_it_cannot_do(source, table):
    with pytest.raises(HeadError, match="lbfgs is for the linear head, not 'mlp'"):
        search_path(source, table, folds=3, config=dataclasses.replace(TrainConfig(), head="mlp"))
    with pytest.raises(SourceError, match="folds count from 2, not 1"):
        search_path(source, table, folds=1)
    with pytest.raises(SourceError, match="has no metric 'mse'"):
        search_path(source, table, folds=3, config=TrainConfig(metric="mse"))
