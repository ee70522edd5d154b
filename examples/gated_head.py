"""A head of one's own: run enc where this file lies, with ``--head gated_head:GatedHead --head-args
hidden=64 --allow-code``.

It reads token features (``enc build-features … --pooling tokens``). A head over pooled features has
``forward(self, features)`` with features [rows, width] instead.
"""

import torch
from torch import nn


class GatedHead(nn.Module):
    """Sums the tokens that a learned gate lets through: [rows, max_length, hidden] -> [rows, outputs]."""

    def __init__(self, shape: tuple[int, ...], outputs: int, hidden: int = 32):
        super().__init__()
        _, width = shape
        self.gate = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())
        self.out = nn.Linear(width, outputs)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # The gate of a padding position is not 0: without the mask, logits would depend on the batch's
        # padding.
        gates = self.gate(features) * mask.unsqueeze(-1)
        return self.out((gates * features).sum(1) / gates.sum(1).clamp(min=1e-6))
