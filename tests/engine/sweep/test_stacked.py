"""Stacked networks and optimizers against torch's own; what is trained with them is in test_sweep.py."""

import pytest
import torch
from enc.engine.sweep.stacked import StackedOptimizer


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_stacked_optimizer_is_torchs(kind):
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4, 2), torch.randn(5, 3, 4, 2)
    settings = {
        "learning_rate": [0.1, 0.01, 0.5],
        "weight_decay": [0.0, 0.1, 0.01],
        "momentum": [0.9, 0.0, 0.5],
    }
    state = {"w": start.clone().requires_grad_()}
    stacked = StackedOptimizer(
        state, kind, **{name: torch.tensor(values) for name, values in settings.items()}
    )
    for gradient in gradients:
        state["w"].grad = gradient.clone()
        stacked.step(0.5)
    for run in range(3):
        parameter = torch.nn.Parameter(start[run].clone())
        lr, decay = settings["learning_rate"][run] * 0.5, settings["weight_decay"][run]
        if kind == "sgd":
            optimizer = torch.optim.SGD(
                [parameter], lr=lr, momentum=settings["momentum"][run], weight_decay=decay
            )
        else:
            optimizer = torch.optim.AdamW([parameter], lr=lr, weight_decay=decay)
        for gradient in gradients:
            parameter.grad = gradient[run].clone()
            optimizer.step()
        torch.testing.assert_close(state["w"].detach()[run], parameter.detach(), atol=1e-6, rtol=1e-5)
