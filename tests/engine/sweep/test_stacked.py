"""Stacked networks and optimizers against torch's own; what is trained with them is in test_sweep.py."""

import pytest
import torch
from enc.engine.sweep.stacked import StackedOptimizer


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("size", [2, 2000])  # by a kernel of torch's from 4,096 numbers on
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_stacked_optimizer_is_torchs(kind, size, alike):
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 4, size), torch.randn(5, 3, 4, size)
    settings = {
        "learning_rate": [0.1, 0.01, 0.5],
        "weight_decay": [0.0, 0.1, 0.01],
        "momentum": [0.9, 0.0, 0.5],
    }
    if alike:
        settings = {name: values[:1] * 3 for name, values in settings.items()}
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
