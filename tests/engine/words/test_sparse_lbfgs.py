"""The linear model of words, against scikit-learn's."""

import numpy as np
import pytest
import torch
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from enc.engine.words.sparse_lbfgs import Goal, minimum
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

RANDOM = np.random.default_rng(0)
MATRIX = csr_matrix(RANDOM.random((80, 6)) * (RANDOM.random((80, 6)) < 0.5))


def goal_of(task, targets, outputs, mean=0.0, scale=1.0):
    weights = None if task is not REGRESSION else torch.tensor(1 / scale**2)

    def loss(logits, target):
        target = target.to(logits.dtype) if target.is_floating_point() else target
        return task.torch.loss(logits, target, weights, 0.0)

    return Goal(targets, outputs, loss, task is SINGLE_LABEL and outputs == 2, mean, scale)


@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_those_of_logistic_regression(classes):
    targets = RANDOM.integers(0, classes, 80)
    goal = goal_of(SINGLE_LABEL, targets, classes)
    weights, bias = goal.plain(minimum(MATRIX, goal, 1 / (3.0 * 80)))
    peer = LogisticRegression(C=3.0, tol=1e-8, max_iter=1000).fit(MATRIX, targets)
    ours = torch.softmax(torch.tensor(MATRIX @ weights.T + bias), 1).numpy()
    np.testing.assert_allclose(ours, peer.predict_proba(MATRIX), atol=2e-3)


def test_each_of_several_labels_is_a_logistic_regression():
    targets = (RANDOM.random((80, 2)) < 0.4).astype(np.float32)
    goal = goal_of(MULTI_LABEL, targets, 2)
    weights, bias = goal.plain(minimum(MATRIX, goal, 1 / (3.0 * 80 * 2)))  # the loss is a mean over labels
    for label in range(2):
        peer = LogisticRegression(C=3.0, tol=1e-8).fit(MATRIX, targets[:, label])
        logits = MATRIX @ weights[label] + bias[label]
        np.testing.assert_allclose(logits, peer.decision_function(MATRIX), atol=1e-2)


def test_a_regression_is_a_ridge():
    targets = (50 + 7 * RANDOM.random(80)).astype(np.float32)
    mean, scale = float(targets.mean()), float(targets.std())
    goal = goal_of(REGRESSION, targets, 1, mean, scale)
    weights, bias = goal.plain(minimum(MATRIX, goal, 2 * 0.5 / 80))
    peer = Ridge(alpha=0.5).fit(MATRIX.toarray(), targets)
    np.testing.assert_allclose(MATRIX @ weights[0] + bias[0], peer.predict(MATRIX.toarray()), atol=2e-2)
