"""Dropout that is the same whether a head is trained alone or beside others."""

from zlib import crc32

import torch
from torch import nn

_BITS = 31


class Dropout(nn.Dropout):
    """torch's Dropout; once :attr:`is_keyed`, what it leaves out follows from ``key`` and the places alone.

    torch draws from one generator, so that a head's draws depend on what else is computed. With a key, an
    int32 scalar, each place's hash (the finalizer of MurmurHash3) decides, in any order.
    """

    key: torch.Tensor

    def __init__(self, p: float):
        super().__init__(p)
        self.is_keyed = False
        self.register_buffer("key", torch.zeros((), dtype=torch.int32), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The input, of which a share p is made 0 and the rest is scaled up; in evaluation as it is."""
        if not self.training or not self.is_keyed or self.p == 0:
            return super().forward(input)
        places = torch.arange(input.numel(), dtype=torch.int32, device=input.device)
        mixed = places * -1640531527 + self.key  # 2**32 divided by the golden ratio
        mixed = (mixed ^ ((mixed >> 16) & 0xFFFF)) * -2048144789
        mixed = (mixed ^ ((mixed >> 13) & 0x7FFFF)) * -1028477387
        mixed = (mixed ^ ((mixed >> 16) & 0xFFFF)) & 0x7FFFFFFF
        kept = (mixed >= min(int(self.p * (1 << _BITS)), (1 << _BITS) - 1)).view(input.shape)
        return input * kept * (1 / (1 - self.p) if self.p < 1 else 0.0)


def key_of(seed: int, step: int, layer: int) -> int:
    """The key of one layer of dropout in one step of a head with this seed, an int32."""
    return crc32(f"{seed} {step} {layer}".encode()) - (1 << _BITS)
