import numpy as np
import pytest
import torch
from enc.engine.heads.tasks import TASKS, task_of
from enc.store import SourceError

LOGITS = torch.linspace(-120, 120, 120 * 3).reshape(3, 120).T.contiguous()


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_numpy_and_torch_agree(task):
    logits = LOGITS if task.has_classes else LOGITS[:, :1]
    expected = task.torch.activation(logits)
    found = task.activation(logits.numpy())
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-37)
    decided, expected_decided = task.decide(found), task.torch.decide(expected).numpy()
    assert decided.dtype == expected_decided.dtype
    np.testing.assert_array_equal(decided, expected_decided)


def test_unknown_task():
    with pytest.raises(
        SourceError, match="unknown task 'ranking'; there are single-label, multi-label, regression"
    ):
        task_of("ranking")
