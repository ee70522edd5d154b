import itertools
import subprocess
import sys

import pytest
from enc.engine import TrainConfig
from enc.engine.train.config import SCHEDULES, learning_rate_factor
from enc.store import SourceError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "changes",
    [
        dict(head="cnn9"),
        dict(optimizer="lion"),
        dict(schedule="stairs"),
        dict(metric="bleu"),
        dict(epochs=0),
        dict(batch_size=0),
        dict(learning_rate=-1),
        dict(label_smoothing=1),
        dict(warmup=-0.1),
        dict(early_stopping=0),
        dict(head_args={"activation": object()}),
    ],
)
def test_impossible_configurations(changes):
    with pytest.raises(SourceError, match=next(iter(changes))):
        TrainConfig(**changes)


@pytest.mark.parametrize("weight", [0, "much", float("inf")])
def test_a_class_weight_is_a_number(weight):
    with pytest.raises(SourceError, match="class weight of 'a' must be a number above 0"):
        TrainConfig(class_weights={"a": weight})


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


def test_options_are_checked_before_torch_is_loaded():
    code = "import sys, enc.engine.train.config; print(*{'torch', 'scipy', 'sklearn'} & {*sys.modules})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == ""
