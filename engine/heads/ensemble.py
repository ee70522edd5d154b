"""Several heads as one."""

from collections.abc import Sequence

import torch
from torch import nn

from .tasks import Task


class Ensemble(nn.Module):
    """Heads whose probabilities (or a regression's values) are averaged: [rows, *shape] -> [rows, outputs].

    It gives logits, as any head does, of which the task's activation makes the averages.
    """

    def __init__(self, members: Sequence[nn.Module], task: Task):
        super().__init__()
        self.members = nn.ModuleList(members)
        self._task = task.torch

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of the averages."""
        averages = torch.stack([self._task.activation(member(features)) for member in self.members]).mean(0)
        return self._task.logits(averages)

    @property
    def parameters_count(self) -> int:
        """Numbers that training fits."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def target_scale(self) -> torch.Tensor:
        """Of a regression: the spread of the training targets, which all members have."""
        return self.members[0].target_scale  # type: ignore[return-value]
