import numpy as np
from enc.engine.audit.confident import Confidence
from enc.engine.heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL

EXPECTED = [0, 10, 20, 40, 50, 60, 70, 100, 120, 140, 150, 160, 190]


def random_rows(rows=200, classes=3, seed=0):
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=rows)
    logits = random.standard_normal((rows, classes)) + 3 * np.eye(classes)[truth]
    outputs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return truth, outputs.astype(np.float32)


def test_doubtful_labels_are_those_of_cleanlab():
    """EXPECTED are from cleanlab 2.9.0: find_label_issues(filter_by='confident_learning')."""
    truth, outputs = random_rows()
    targets = truth.copy()
    targets[::10] = (targets[::10] + 1) % 3
    doubts = Confidence.of(SINGLE_LABEL, targets, outputs).doubts(targets, outputs)
    assert np.flatnonzero(doubts.are_wrong).tolist() == EXPECTED
    wrong = doubts.are_wrong
    assert (doubts.suggested[~wrong] == targets[~wrong]).all()
    assert (doubts.suggested[wrong] != targets[wrong]).all()
    rows = np.arange(len(targets))
    assert (doubts.of_label == outputs[rows, targets]).all()
    assert (doubts.of_suggested == outputs[rows, doubts.suggested]).all()


def test_a_class_without_rows_is_never_suggested():
    targets = np.array([0, 1, 0, 1])
    outputs = np.array([[0.1, 0.1, 0.8]] * 4, np.float32)
    doubts = Confidence.of(SINGLE_LABEL, targets, outputs).doubts(targets, outputs)
    assert 2 not in doubts.suggested


def test_of_several_labels_each_is_a_question_of_its_own():
    truth = np.tile(np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32), (10, 1))
    outputs = np.where(truth > 0, 0.9, 0.1).astype(np.float32)
    targets = truth.copy()
    targets[3] = [0, 1]  # the second one is too many
    targets[4] = [0, 0]  # the first one is missing
    doubts = Confidence.of(MULTI_LABEL, targets, outputs).doubts(targets, outputs)
    assert np.flatnonzero(doubts.are_wrong).tolist() == [3, 4]
    assert doubts.suggested[[3, 4]].tolist() == [[0, 0], [1, 0]]
    assert np.allclose(doubts.of_label[:5], [0.9, 0.9, 0.9, 0.1, 0.1])


def test_numbers_far_from_their_prediction_are_doubtful():
    random = np.random.default_rng(0)
    outputs = random.standard_normal((100, 1)).astype(np.float32)
    targets = outputs[:, 0] + 0.1 * random.standard_normal(100).astype(np.float32)
    targets[7] += 3
    doubts = Confidence.of(REGRESSION, targets, outputs).doubts(targets, outputs)
    assert np.flatnonzero(doubts.are_wrong).tolist() == [7]
    assert doubts.suggested[7] == outputs[7, 0]


def test_perfect_predictions_leave_no_doubt():
    targets = np.linspace(0, 1, 20, dtype=np.float32)
    doubts = Confidence.of(REGRESSION, targets, targets[:, None]).doubts(targets, targets[:, None])
    assert not doubts.are_wrong.any()
