"""Heads over pairs of texts that were encoded apart: enc against NumPy and scikit-learn."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..engine.pairs.combination import Combination
from ..engine.pairs.served import PairFeatures
from ..engine.train.examples import TrainData
from ..engine.train.solve import solve
from ..engine.train.solve_config import SolveConfig
from ..store.batches import PlannedFeatures
from .results import Measurement

COMBINED = ("cosines", "difference")


def pair_contenders(data: TrainData, l2: float) -> list[tuple[str, Callable[[Measurement], None]]]:
    """The same logistic regression over pairs of the rows' features, from the store to convergence."""
    features = data.train.features
    assert isinstance(features, PlannedFeatures)
    partners = np.random.default_rng(2).permutation(features.rows)

    def by_enc(measurement: Measurement) -> None:
        sides = features, features.part(rows=partners)
        served = PairFeatures(*sides, Combination(COMBINED)).fitted()
        train = replace(data.train, features=served)
        pairs = replace(data, train=train, valid=train.subset(np.arange(min(1000, features.rows))))
        seen = []
        solve(pairs, SolveConfig(l2=[l2]), on_epoch=seen.append)
        measurement.remarks["training loss"] = f"{seen[0].train['loss']:.6f}"

    def by_numpy(measurement: Measurement) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss

        first = np.concatenate(list(features.blocks(65536))).astype(np.float32)
        second = first[partners]
        cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
        values = np.concatenate([cosines[:, None], np.abs(first - second)], 1)
        values = (values - values.mean(0)) / values.std(0)
        found = LogisticRegression(C=2 / (l2 * len(values)), max_iter=1000).fit(values, data.train.targets)
        if "training loss" not in measurement.remarks:
            loss = log_loss(data.train.targets, found.predict_proba(values))
            measurement.remarks["training loss"] = f"{loss:.6f}"

    return [
        ("enc lbfgs over pairs, put together and to convergence", by_enc),
        ("scikit-learn LogisticRegression over pairs, put together by NumPy", by_numpy),
    ]
