"""Linear heads to convergence, against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from enc.engine.heads.head import Head
from enc.engine.heads.labels import Labels
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from enc.engine.train.examples import Examples, TrainData
from enc.engine.train.judging import make_loss
from enc.engine.train.lbfgs import LinearProblem
from enc.engine.train.solve import solve
from enc.engine.train.solve_config import SolveConfig
from enc.engine.train.summary import SetSummary
from enc.store import SourceError
from fakes import fake_spec
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

ROWS, WIDTH = 300, 12
RNG = np.random.default_rng(0)
# Correlated features of different spread about a large common vector, as sentence encoders give them.
X = (
    RNG.normal(size=(ROWS, WIDTH)) @ RNG.normal(size=(WIDTH, WIDTH)) * np.geomspace(0.01, 3, WIDTH) + 5
).astype(np.float32)
SCALED = StandardScaler().fit_transform(X.astype(np.float64))
SCORES = SCALED @ RNG.normal(size=(WIDTH, 3)) + RNG.normal(size=(ROWS, 3))


class InMemory:
    """Features at the seam of PlannedFeatures."""

    def __init__(self, values):
        self.values, self.rows = values, len(values)
        self.spec = fake_spec(
            hidden_size=values.shape[-1], pooling=("tokens",) if values.ndim == 3 else ("mean",)
        )
        self.shape = self.spec.shape

    def blocks(self, rows, first=0, stop=None):
        return iter(np.split(self.values[first:stop], range(rows, len(self.values[first:stop]), rows)))

    def take(self, positions):
        return self.values[positions]


def data_of(task, labels, targets, values=X):
    summary = SetSummary("train", len(targets), {}, None, 0, 0)
    examples = Examples(InMemory(values), targets, summary)
    return TrainData(task, Labels(labels), examples.features.spec, examples, examples, "set", "text", None)


SINGLE = data_of(SINGLE_LABEL, ("a", "b", "c"), SCORES.argmax(1))
BINARY = data_of(SINGLE_LABEL, (0, 1), (SCORES[:, 0] > 0).astype(np.int64))
MULTI = data_of(MULTI_LABEL, ("a", "b", "c"), (SCORES > 0.5).astype(np.float32))
NUMBERS = data_of(REGRESSION, (), (SCORES[:, 0] * 3 + 7).astype(np.float32))


@pytest.mark.parametrize("data", [SINGLE, BINARY], ids=["multinomial", "binary"])
@pytest.mark.parametrize("l2", [1.0, 0.01, 1e-4])
def test_logistic_regression_equals_scikit_learns(data, l2):
    head = solve(data, SolveConfig(l2=[l2]))
    # A softmax of two outputs halves each side's weights, and its penalty with them.
    strength = l2 if len(data.labels) > 2 else l2 / 2
    reference = LogisticRegression(C=1 / (strength * ROWS), max_iter=10_000, tol=1e-9).fit(
        SCALED, data.train.targets
    )
    np.testing.assert_allclose(head.predict_proba(X), reference.predict_proba(SCALED), atol=2e-3)
    assert torch.equal(head.network.scale, torch.ones(WIDTH))  # folded into the weights


def test_several_labels_are_a_logistic_regression_each():
    proba = solve(MULTI, SolveConfig(l2=[0.01])).predict_proba(X)
    for label in range(3):
        # Its loss is the mean over the labels; each has a third of the gradient, and the whole penalty.
        reference = LogisticRegression(C=1 / (3 * 0.01 * ROWS), max_iter=10_000, tol=1e-9).fit(
            SCALED, MULTI.train.targets[:, label]
        )
        np.testing.assert_allclose(proba[:, label], reference.predict_proba(SCALED)[:, 1], atol=2e-3)


def test_regression_is_ridge_regression():
    targets = NUMBERS.train.targets.astype(np.float64)
    head = solve(NUMBERS, SolveConfig(l2=[0.1]))
    standard = (targets - targets.mean()) / targets.std()
    reference = (
        Ridge(alpha=0.1 * ROWS / 2).fit(SCALED, standard).predict(SCALED) * targets.std() + targets.mean()
    )
    np.testing.assert_allclose(head.predict(X), reference, atol=1e-3)


def test_weights_and_smoothing_count():
    config = SolveConfig(class_weights={"a": 5.0}, l2=[0.1])
    plain, weighted = (
        solve(SINGLE, one).predict_proba(X)[:, 0].mean() for one in (SolveConfig(l2=[0.1]), config)
    )
    assert weighted > plain + 0.05
    reference = LogisticRegression(
        C=1 / (0.1 * ROWS), max_iter=10_000, tol=1e-9, class_weight={0: 5, 1: 1, 2: 1}
    )
    counts = np.bincount(SINGLE.train.targets)
    scale = ROWS / (counts * [5, 1, 1]).sum()
    reference.set_params(class_weight={0: 5 * scale, 1: scale, 2: scale}).fit(SCALED, SINGLE.train.targets)
    np.testing.assert_allclose(
        solve(SINGLE, config).predict_proba(X), reference.predict_proba(SCALED), atol=2e-3
    )
    smooth = solve(SINGLE, SolveConfig(label_smoothing=0.3, l2=[1e-4]))
    assert smooth.predict_proba(X).max() < solve(SINGLE, SolveConfig(l2=[1e-4])).predict_proba(X).max()


def test_the_path_is_walked_from_strong_to_weak_and_the_best_is_kept():
    seen = []
    head = solve(SINGLE, SolveConfig(metric="loss", l2=[0.001, 10, 0.1]), on_epoch=seen.append)
    assert [result.l2 for result in seen] == [10, 0.1, 0.001]
    losses = [result.valid["loss"] for result in seen]
    # Without the penalty, the training loss is the validation loss of the same rows.
    assert [result.train["loss"] for result in seen] == pytest.approx(losses, rel=1e-5)
    assert losses == sorted(losses, reverse=True)  # validation is training here: less penalty, less loss
    assert (head.record["l2"], head.record["solver"], head.metrics["epoch"]) == (0.001, "lbfgs", 3)
    assert head.metrics["loss"] == pytest.approx(losses[-1])
    assert [row["step"] for row in head.history] == [1, 2, 3]


def test_token_features_keep_their_mask(tmp_path):
    values = RNG.normal(size=(60, 8, 4)).astype(np.float32) + 3
    values[::2, 5:] = 0  # padding
    data = data_of(SINGLE_LABEL, (0, 1), (values[:, 0, 0] > 3).astype(np.int64), values)
    head = solve(data, SolveConfig(l2=[0.01]))
    assert head.metrics["accuracy"] > 0.9
    head.save(tmp_path / "head")
    np.testing.assert_array_equal(
        Head.load(tmp_path / "head").predict_proba(values), head.predict_proba(values)
    )


def test_token_features_are_held_where_there_is_room(monkeypatch):
    values = RNG.normal(size=(60, 8, 4)).astype(np.float32) + 3
    values[::2, 5:] = 0
    data = data_of(SINGLE_LABEL, (0, 1), (values[:, 0, 0] > 3).astype(np.int64), values)
    monkeypatch.setattr("enc.engine.train.lbfgs._BLOCK_BYTES", 1000)
    found = []
    for available in (0, 1 << 30):
        monkeypatch.setattr("enc.engine.train.lbfgs.available_memory", lambda available=available: available)
        assert (LinearProblem(data, make_loss(data, SolveConfig()))._held is None) == (available == 0)
        found.append(solve(data, SolveConfig(l2=[0.1])).predict_proba(values))
    np.testing.assert_array_equal(*found)


def test_features_of_many_blocks_or_too_wide_to_whiten_give_the_same(monkeypatch):
    expected = solve(SINGLE, SolveConfig(l2=[0.1])).predict_proba(X)
    monkeypatch.setattr("enc.engine.train.lbfgs._BLOCK_BYTES", 1000)
    np.testing.assert_allclose(solve(SINGLE, SolveConfig(l2=[0.1])).predict_proba(X), expected, atol=1e-3)
    monkeypatch.setattr("enc.engine.train.lbfgs._WHITENED_WIDTH", 1)
    np.testing.assert_allclose(solve(SINGLE, SolveConfig(l2=[0.1])).predict_proba(X), expected, atol=1e-2)


def test_threads_share_the_rows_and_are_given_back(monkeypatch):
    monkeypatch.setattr("enc.engine.train.lbfgs._BLOCK_BYTES", 1000)
    monkeypatch.setattr("enc.engine.train.lbfgs._SMALL_PASS", 0)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            found.append(solve(SINGLE, SolveConfig(l2=[0.1])).network.state_dict()["head.fc1.weight"])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=1e-3)
    assert torch.equal(found[1], found[2])  # the same bits on the same number of threads


def test_a_short_pass_is_not_shared_so_that_the_bits_do_not_depend_on_the_threads():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(solve(SINGLE, SolveConfig(l2=[0.1])).network.state_dict()["head.fc1.weight"])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_the_hessians_bound_is_of_a_sample_that_leaves_no_part_out(monkeypatch):
    whole = LinearProblem(SINGLE, make_loss(SINGLE, SolveConfig()))
    np.testing.assert_allclose(whole._gram, np.corrcoef(X.T.astype(np.float64)), atol=1e-4)
    monkeypatch.setattr("enc.engine.train.lbfgs._SAMPLE", 5)
    order = np.argsort(SINGLE.train.targets, kind="stable")  # rows of a class beside each other
    sampled = LinearProblem(
        data_of(SINGLE_LABEL, ("a", "b", "c"), SINGLE.train.targets[order], X[order]), whole._loss
    )
    np.testing.assert_allclose(sampled._gram, whole._gram, atol=0.4)
    assert not torch.equal(sampled._gram, whole._gram)
    monkeypatch.setattr("enc.engine.train.lbfgs._SAMPLE", 1)
    np.testing.assert_allclose(
        solve(SINGLE, SolveConfig(l2=[0.1])).predict_proba(X),
        LogisticRegression(C=1 / (0.1 * ROWS), max_iter=10_000, tol=1e-9)
        .fit(SCALED, SINGLE.train.targets)
        .predict_proba(SCALED),
        atol=2e-3,
    )


def test_heads_on_the_same_rows_share_their_scaling():
    class Counted(InMemory):
        passes = 0

        def blocks(self, rows, first=0, stop=None):
            self.passes += first == 0
            return super().blocks(rows, first, stop)

    data = data_of(BINARY.task, (0, 1), BINARY.train.targets)
    counted = Counted(X)
    data = replace(data, train=replace(data.train, features=counted))
    solve(data, SolveConfig(l2=[0.1]))
    first = counted.passes
    solve(data, SolveConfig(l2=[0.1]))
    assert counted.passes == 2 * first - 1
    mean, _ = replace(data.train, features=InMemory(X + 1)).scaling  # other rows have their own
    np.testing.assert_allclose(mean, X.mean(0, dtype=np.float64) + 1, rtol=1e-5)


def test_a_metric_that_is_undefined_chooses_nothing():
    one_class = replace(BINARY.train.summary, name="valid")
    rows = np.flatnonzero(BINARY.train.targets == 0)
    valid = Examples(InMemory(X[rows]), BINARY.train.targets[rows], one_class)
    with pytest.raises(SourceError, match="metric 'auc' is undefined on the validation rows; pass another"):
        solve(replace(BINARY, valid=valid), SolveConfig(metric="auc", l2=[1.0]))
