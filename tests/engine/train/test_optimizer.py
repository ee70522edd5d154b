"""The optimizers give the same bits as torch's own classes."""

import subprocess
import sys

import pytest
import torch
from enc.engine.train.config import TrainConfig
from enc.engine.train.optimizer import make_optimizer


class Network(torch.nn.Module):
    """Parameters of several shapes and two dtypes; one takes part from the third step on, one never does."""

    def __init__(self):
        super().__init__()
        self.wide = torch.nn.Parameter(torch.randn(3, 70))
        self.bias = torch.nn.Parameter(torch.randn(3))
        self.exact = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
        self.late = torch.nn.Parameter(torch.randn(4))
        self.unused = torch.nn.Parameter(torch.randn(2))


def gradients_of(step):
    generator = torch.Generator().manual_seed(step)
    shapes = {"wide": (3, 70), "bias": (3,), "exact": (5,)} | ({"late": (4,)} if step > 1 else {})
    return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("optimizer", "momentum"), [("adamw", 0.9), ("sgd", 0.0), ("sgd", 0.9)])
def test_the_bits_are_torchs(optimizer, momentum, weight_decay):
    torch.manual_seed(0)
    ours = Network()
    theirs = Network()
    theirs.load_state_dict(ours.state_dict())
    config = TrainConfig(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay)
    stepping = make_optimizer(ours, config)
    groups = [[p] for p in theirs.parameters()]  # torch's SGD does not take a parameter that joins later
    if optimizer == "adamw":
        expected = [torch.optim.AdamW(group, weight_decay=weight_decay, fused=True) for group in groups]
    else:
        settings = dict(momentum=momentum, weight_decay=weight_decay, fused=True)
        expected = [torch.optim.SGD(group, **settings) for group in groups]
    for step in range(6):
        rate = 0.1 / (1 + step)
        for name, gradient in gradients_of(step).items():
            for network in (ours, theirs):
                parameter = getattr(network, name)
                parameter.grad = gradient.to(parameter.dtype)
        for one in expected:
            one.param_groups[0]["lr"] = rate
            one.step()
            one.zero_grad()
        stepping.step(rate)
        assert all(parameter.grad is None for parameter in ours.parameters())
        for name, value in theirs.state_dict().items():
            assert torch.equal(getattr(ours, name), value), (name, step)


def test_torchs_compiler_is_not_loaded():
    code = (
        "import sys, torch\n"
        "from enc.engine.train.config import TrainConfig\n"
        "from enc.engine.train.optimizer import make_optimizer\n"
        "network = torch.nn.Linear(2, 2)\n"
        "optimizer = make_optimizer(network, TrainConfig())\n"
        "network(torch.ones(1, 2)).sum().backward()\n"
        "optimizer.step(0.1)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "False"
