import warnings

import numpy as np
import pytest
from enc.engine.heads.metrics import (
    METRICS,
    Predicted,
    compute,
    confusion_matrix,
    is_better,
    metric_names,
    require_metric,
)
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from enc.store import SourceError
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

TRUE, GUESSED = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
SHARES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]], np.float32)
TWO_CLASSES = Predicted(SINGLE_LABEL, 2, 0.5, TRUE, GUESSED, SHARES)


def test_two_classes():
    # By hand: 2 of 3 positives found, 1 false alarm; the other class has 1 of 2.
    figures = compute(metric_names(SINGLE_LABEL, 2), TWO_CLASSES)
    assert figures == pytest.approx(
        {
            "loss": 0.5,
            "accuracy": 3 / 5,
            "precision": (1 / 2 + 2 / 3) / 2,
            "recall": (1 / 2 + 2 / 3) / 2,
            "f1": (1 / 2 + 2 / 3) / 2,
            "precision_binary": 2 / 3,
            "recall_binary": 2 / 3,
            "f1_binary": 2 / 3,
            "mcc": 1 / 6,
            "auc": 5 / 6,
        }
    )
    assert confusion_matrix(TWO_CLASSES) == [[1, 1], [1, 2]]


def test_three_classes():
    predicted = Predicted(
        SINGLE_LABEL, 3, 1.0, np.array([0, 1, 2]), np.array([0, 1, 1]), np.eye(3, dtype=np.float32)
    )
    figures = compute(metric_names(SINGLE_LABEL, 3), predicted)
    assert "f1_binary" not in figures
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["auc"] == 1
    assert confusion_matrix(predicted) == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_several_labels():
    targets = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    guessed = np.array([[1, 0], [1, 0], [0, 0]], np.float32)
    figures = compute(metric_names(MULTI_LABEL, 2), Predicted(MULTI_LABEL, 2, 0.1, targets, guessed, guessed))
    assert figures["accuracy"] == pytest.approx(2 / 3)  # all labels of a row right
    assert (figures["f1"], figures["f1_micro"]) == pytest.approx((0.5, 0.8))
    assert figures["auc"] == pytest.approx(0.75)
    assert confusion_matrix(Predicted(MULTI_LABEL, 2, 0.1, targets, guessed)) == [
        [[1, 0], [0, 2]],
        [[2, 0], [1, 0]],
    ]


def test_regression():
    targets = np.array([1, 2, 3, 4], np.float32)
    predicted = Predicted(REGRESSION, 1, 0.1, targets, targets**3)
    figures = compute(metric_names(REGRESSION, 1), predicted)
    assert figures.keys() == {"loss", "pearson", "spearman", "mse", "mae"}
    assert figures["spearman"] == pytest.approx(1)
    assert figures["pearson"] == pytest.approx(np.corrcoef(targets, targets**3)[0, 1])
    assert figures["mae"] == pytest.approx((0 + 6 + 24 + 60) / 4)
    assert confusion_matrix(predicted) is None


def test_undefined_figures_are_none_and_quiet():
    one_class = Predicted(SINGLE_LABEL, 2, 0.5, np.zeros(3, int), np.zeros(3, int), SHARES[:3])
    constant = Predicted(REGRESSION, 1, 0.5, np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute(["auc", "accuracy"], one_class) == {"auc": None, "accuracy": 1.0}
        assert compute(["pearson", "spearman"], constant) == {"pearson": None, "spearman": None}
        assert compute(["f1", "mcc"], one_class) == {"f1": 1.0, "mcc": 0.0}
        assert compute(["f1_binary"], one_class) == {"f1_binary": 0.0}


def test_which_is_better():
    assert is_better("accuracy", 0.5, None)
    assert is_better("accuracy", 0.6, 0.5)
    assert not is_better("accuracy", 0.5, 0.5)
    assert is_better("loss", 0.4, 0.5)
    assert not is_better("mse", 0.6, 0.5)
    assert not is_better("auc", None, None)
    assert not is_better("auc", None, 0.1)


def test_many_classes_have_no_matrix():
    many = Predicted(SINGLE_LABEL, 101, 0.5, np.arange(101), np.arange(101))
    assert confusion_matrix(many) is None
    assert "auc" not in metric_names(SINGLE_LABEL, 101)


@pytest.mark.parametrize(
    ("name", "task", "classes", "message"),
    [
        (
            "pearson",
            SINGLE_LABEL,
            2,
            "a single-label task with 2 labels has no metric 'pearson'; there are loss, accuracy, precision",
        ),
        ("f1_binary", SINGLE_LABEL, 3, "with 3 labels has no metric 'f1_binary'"),
        (
            "accuracy",
            REGRESSION,
            1,
            "a regression task has no metric 'accuracy'; there are loss, pearson, spearman, mse, mae",
        ),
    ],
)
def test_a_metric_must_suit_the_task(name, task, classes, message):
    assert name in METRICS
    with pytest.raises(SourceError, match=message):
        require_metric(name, task, classes)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_figures_of_classes_are_scikit_learns(classes, rows, seed):
    rng = np.random.default_rng(seed)
    # A few values of scores, so that some are equal; classes may be missing on both sides.
    outputs = rng.integers(1, 4, (rows, classes)).astype(np.float32)
    outputs /= outputs.sum(1, keepdims=True)
    targets, guessed = rng.integers(0, classes, rows), outputs.argmax(1)
    predicted = Predicted(SINGLE_LABEL, classes, 0.5, targets, guessed, outputs)
    expected = {
        "accuracy": sk.accuracy_score(targets, guessed),
        "precision": sk.precision_score(targets, guessed, average="macro", zero_division=0),
        "recall": sk.recall_score(targets, guessed, average="macro", zero_division=0),
        "f1": sk.f1_score(targets, guessed, average="macro", zero_division=0),
        "mcc": sk.matthews_corrcoef(targets, guessed),
    }
    if classes == 2:
        expected |= {
            "precision_binary": sk.precision_score(targets, guessed, zero_division=0),
            "recall_binary": sk.recall_score(targets, guessed, zero_division=0),
            "f1_binary": sk.f1_score(targets, guessed, zero_division=0),
        }
    if len(set(targets)) == classes:
        scores = outputs[:, 1] if classes == 2 else outputs
        expected["auc"] = sk.roc_auc_score(targets, scores, multi_class="ovr")
    else:
        assert compute(["auc"], predicted) == {"auc": None}
    assert compute(list(expected), predicted) == pytest.approx(expected, abs=1e-12)
    matrix = sk.confusion_matrix(targets, guessed, labels=np.arange(classes))
    assert confusion_matrix(predicted) == matrix.tolist()


@given(st.integers(2, 4), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_figures_of_several_labels_are_scikit_learns(labels, rows, seed):
    rng = np.random.default_rng(seed)
    outputs = (rng.integers(0, 5, (rows, labels)) / 5).astype(np.float32)
    targets = (rng.random((rows, labels)) < rng.random(labels)).astype(np.float32)
    guessed = (outputs > 0.5).astype(np.float32)
    predicted = Predicted(MULTI_LABEL, labels, 0.5, targets, guessed, outputs)
    expected = {
        "accuracy": sk.accuracy_score(targets, guessed),
        "precision": sk.precision_score(targets, guessed, average="macro", zero_division=0),
        "recall": sk.recall_score(targets, guessed, average="macro", zero_division=0),
        "f1": sk.f1_score(targets, guessed, average="macro", zero_division=0),
        "f1_micro": sk.f1_score(targets, guessed, average="micro", zero_division=0),
    }
    if ((targets.mean(0) > 0) & (targets.mean(0) < 1)).all():
        expected["auc"] = sk.roc_auc_score(targets, outputs, average="macro")
    else:
        assert compute(["auc"], predicted) == {"auc": None}
    assert compute(list(expected), predicted) == pytest.approx(expected, abs=1e-12)
    assert confusion_matrix(predicted) == sk.multilabel_confusion_matrix(targets, guessed).tolist()


def test_errors_of_a_regression_are_scikit_learns():
    rng = np.random.default_rng(0)
    targets, guessed = rng.normal(size=(2, 50)).astype(np.float32)
    predicted = Predicted(REGRESSION, 1, 0.1, targets, guessed)
    expected = {
        "mse": sk.mean_squared_error(targets, guessed),
        "mae": sk.mean_absolute_error(targets, guessed),
    }
    assert compute(["mse", "mae"], predicted) == pytest.approx(expected, rel=1e-6)


def test_scores_that_are_no_numbers_have_no_auc():
    broken = Predicted(SINGLE_LABEL, 2, 0.5, TRUE, GUESSED, np.full((5, 2), np.nan, np.float32))
    assert compute(["auc"], broken) == {"auc": None}
