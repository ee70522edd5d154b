import pytest
import torch
from enc.engine.heads.ensemble import Ensemble
from enc.engine.heads.making import make_head
from enc.engine.heads.tasks import TASKS


@pytest.mark.parametrize("task", TASKS.values(), ids=str)
def test_its_activation_gives_the_members_averages(task):
    outputs = 3 if task.has_classes else 1
    members = [make_head("linear", (4,), outputs, targets=not task.has_classes) for _ in range(3)]
    ensemble, features = Ensemble(members, task).eval(), torch.randn(6, 4)
    with torch.inference_mode():
        expected = torch.stack([task.torch.activation(member(features)) for member in members]).mean(0)
        torch.testing.assert_close(task.torch.activation(ensemble(features)), expected)
    assert ensemble.parameters_count == 3 * members[0].parameters_count
    if not task.has_classes:
        assert ensemble.target_scale is members[0].target_scale
