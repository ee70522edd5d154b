import itertools

import pytest
from enc.engine.train.schedule import SCHEDULES, learning_rate_factor
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 500), st.sampled_from(SCHEDULES), st.floats(0, 0.99))
def test_schedules_rise_to_one_and_fall(steps, schedule, warmup):
    factors = [learning_rate_factor(step, steps, schedule, warmup) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    rising = sum(step < warmup * steps for step in range(steps))
    assert all(a < b for a, b in itertools.pairwise(factors[: rising + 1]))
    assert factors[rising] == 1
    falling = factors[rising:]
    assert all(a >= b for a, b in itertools.pairwise(falling))
    assert falling[-1] == (1 if schedule == "constant" or rising == steps else pytest.approx(0))


def test_schedules_by_hand():
    assert [learning_rate_factor(s, 4, "linear", 0) for s in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [learning_rate_factor(s, 4, "constant", 0.5) for s in range(4)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )
    assert learning_rate_factor(2, 4, "cosine", 0) == pytest.approx(0.5)
