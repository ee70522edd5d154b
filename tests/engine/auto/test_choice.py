"""Which of several candidates is kept."""

import numpy as np
import pytest
from enc.engine.auto.choice import chosen, gains, half_a_point, is_hopeless, standard_error

GOOD = np.array([0.80, 0.82, 0.78, 0.81])


def test_the_standard_error_is_that_of_the_mean():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / 2)


@pytest.mark.parametrize(
    ("metric", "values", "kept"),
    [
        ("accuracy", [GOOD, GOOD + 0.1], 1),
        ("accuracy", [GOOD + 0.1, GOOD], 0),
        ("loss", [GOOD, GOOD + 0.1], 0),
        ("loss", [GOOD + 0.1, GOOD], 1),
        # The lead of the second is 0.004 on average, and its standard error 0.017: the simpler one is kept.
        ("accuracy", [GOOD, GOOD + np.array([0.05, -0.03, 0.01, -0.014])], 0),
        # The same with a lead of 0.01 is more than half a point.
        ("accuracy", [GOOD, GOOD + np.array([0.05, -0.02, 0.02, -0.01])], 1),
        ("loss", [10 * GOOD, 10 * GOOD - np.array([0.5, -0.2, 0.2, -0.4])], 0),
        # Here each fold says the same, however much the folds differ.
        ("accuracy", [GOOD, GOOD + np.array([0.01, 0.012, 0.008, 0.01])], 1),
        ("accuracy", [GOOD, GOOD, GOOD], 0),
        # On the two folds of the third, the first is as good; on all four, it is far behind the second.
        (
            "accuracy",
            [GOOD, GOOD + np.array([0.0, 0.0, 0.05, 0.03]), GOOD[:2] + np.array([0.002, -0.001])],
            1,
        ),
        ("accuracy", [GOOD, GOOD + 0.01, GOOD[:2] + np.array([0.03, 0.04])], 2),
    ],
)
def test_the_simplest_within_a_standard_error_of_the_best_is_kept(metric, values, kept):
    def lead(one, other):
        found = gains(metric, values[one], values[other])
        return found.mean(), standard_error(found)

    best = max(values, key=lambda one: gains(metric, one, 0 * one).mean())
    most = half_a_point(metric, best.mean())
    assert chosen(range(len(values)), lead, most, lambda one: len(values[one])) == kept


def test_candidates_are_compared_on_the_folds_that_judged_both():
    np.testing.assert_allclose(gains("accuracy", GOOD, GOOD[:2] - 0.1), [0.1, 0.1])
    np.testing.assert_allclose(gains("loss", GOOD[:1], GOOD), [0.0])


def test_a_candidate_is_left_where_its_first_folds_lie_behind():
    assert not is_hopeless("accuracy", [0.1], GOOD)
    assert is_hopeless("accuracy", [0.7, 0.73], GOOD)
    assert not is_hopeless("accuracy", [0.79, 0.83], GOOD)
    assert is_hopeless("loss", [0.9, 0.93], GOOD)
    assert not is_hopeless("loss", [0.7, 0.73], GOOD)
