"""Lines of progress, with a clock of the test's own."""

from types import SimpleNamespace

import pytest
from enc.engine.finetune.progress import ProgressLines


@pytest.fixture
def progress():
    said, times = [], SimpleNamespace(now=0.0)
    lines = ProgressLines(said.append, lambda: 0.5, clock=lambda: times.now)
    return lines, said, times


def state(step):
    return SimpleNamespace(global_step=step, max_steps=100)


def test_training_says_where_it_is_every_ten_seconds(progress):
    lines, said, times = progress
    lines.on_train_begin(None, state(20), None)  # which goes on from a checkpoint
    for step in range(21, 61):
        times.now += 1
        lines.on_step_end(None, state(step), None)
    assert said == [
        f"training: step {step} of 100, loss 0.5000, {100 - step} s left" for step in (30, 40, 50, 60)
    ]


def test_evaluations_say_where_they_are(progress):
    lines, said, times = progress
    for _ in range(2):
        for _ in range(4):
            times.now += 5
            lines.on_prediction_step(None, state(0), None, eval_dataloader=range(4))
    assert said == [f"evaluating: batch {batch} of 4" for batch in (2, 4, 2, 4)]
