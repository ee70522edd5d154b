import numpy as np
import pytest
from enc.engine.heads.labels import Labels
from enc.engine.heads.tasks import SINGLE_LABEL
from enc.engine.train.arrays import array_data, held_out_rows
from enc.store import LabelError

FEATURES = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)


def test_equal_rows_are_on_one_side():
    doubled = np.concatenate([FEATURES, FEATURES])
    held_out = held_out_rows(doubled, 0.2, 1)
    assert held_out.sum() == 40
    assert (held_out[:100] == held_out[100:]).all()
    assert (held_out == held_out_rows(doubled, 0.2, 1)).all()
    assert (held_out != held_out_rows(doubled, 0.2, 2)).any()


def test_both_sides_have_a_row():
    for share in (0.001, 0.999):
        assert 0 < held_out_rows(FEATURES[:2], share, 0).sum() < 2
    with pytest.raises(LabelError, match="all rows are equal"):
        held_out_rows(np.ones((5, 3), np.float32), 0.2, 0)


def test_a_class_without_a_training_row():
    held_out = np.arange(100) == 7
    with pytest.raises(LabelError, match="no training row is left with label b"):
        array_data(FEATURES, held_out.astype(int), SINGLE_LABEL, Labels(("a", "b")), held_out)
