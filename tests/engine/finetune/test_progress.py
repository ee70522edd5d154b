"""How far a run is, told by the trainer's callbacks."""

from types import SimpleNamespace

import pytest
from enc.engine.finetune.progress import ProgressTold
from enc.store.progress import heard_by
from fakes import Heard


@pytest.fixture
def heard():
    heard = Heard()
    with heard_by(heard):
        yield heard


def state(step):
    return SimpleNamespace(global_step=step, max_steps=100)


def test_steps_are_told_with_the_loss_from_where_a_checkpoint_ended(heard):
    told = ProgressTold(lambda: 0.5)
    told.on_train_begin(None, state(20), None)
    for step in (21, 22):
        told.on_step_end(None, state(step), None)
    told.on_train_end(None, state(22), None)  # stopped early
    assert heard.of("training") == [(20, 100), (21, 100), (22, 100), (100, 100)]
    assert heard.told[1][3] == "loss 0.5000"


def test_each_evaluation_is_told_from_its_first_batch(heard):
    told = ProgressTold(lambda: 0.5)
    for _ in range(2):
        for _ in range(3):
            told.on_prediction_step(None, state(0), None, eval_dataloader=range(3))
    told.on_prediction_step(None, state(0), None)  # of a trainer that does not tell its batches
    assert heard.of("evaluating") == 2 * [(1, 3), (2, 3), (3, 3)]
