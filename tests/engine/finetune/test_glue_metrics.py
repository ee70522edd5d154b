"""GLUE's metrics against scikit-learn and SciPy."""

import numpy as np
import pytest
from enc.engine.finetune.glue import glue_task
from enc.engine.finetune.glue_metrics import glue_metrics, legacy_metrics
from enc.engine.heads.metrics import Predicted
from enc.engine.heads.tasks import REGRESSION, SINGLE_LABEL
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

TRUTH, GUESS = np.array([0, 1, 1, 1, 0, 1, 0, 1]), np.array([0, 1, 0, 1, 1, 1, 0, 0])
VALUES = np.array([0.1, 0.9, 2.4, 3.0, 4.1, 4.9], np.float32)


def test_metrics_of_classes():
    predicted = Predicted(SINGLE_LABEL, 2, 0.0, TRUTH, GUESS)
    accuracy, f1 = accuracy_score(TRUTH, GUESS), f1_score(TRUTH, GUESS)
    found = glue_metrics(("accuracy", "f1"), predicted)
    assert found == pytest.approx({"accuracy": accuracy, "f1": f1, "combined_score": (accuracy + f1) / 2})
    assert legacy_metrics(found) == pytest.approx(
        {"acc": accuracy, "f1": f1, "acc_and_f1": (accuracy + f1) / 2}
    )
    assert legacy_metrics(glue_metrics(("matthews_correlation",), predicted)) == pytest.approx(
        {"mcc": matthews_corrcoef(TRUTH, GUESS)}
    )


def test_metrics_of_a_regression():
    task = glue_task("sts-b")
    guess = VALUES[[0, 2, 1, 3, 5, 4]] + 1
    found = legacy_metrics(glue_metrics(task.metrics, Predicted(REGRESSION, 1, 0.0, VALUES, guess)))
    pearson, spearman = pearsonr(VALUES, guess).statistic, spearmanr(VALUES, guess).statistic
    assert found == pytest.approx(
        {"pearson": pearson, "spearmanr": spearman, "corr": (pearson + spearman) / 2}
    )
    constant = glue_metrics(task.metrics, Predicted(REGRESSION, 1, 0.0, VALUES, np.ones_like(VALUES)))
    assert np.isnan(constant["pearson"])
    assert np.isnan(constant["combined_score"])
