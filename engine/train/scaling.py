"""What features are scaled by before a head sees them."""

import numpy as np
import torch

from ..heads.networks import token_mask
from .served import Features
from .threads import in_shares

_SHARES = 16  # of the rows, each summed up by itself: the sums do not depend on the number of threads
_BLOCK_BYTES = 1 << 20  # of float32; what is done to a block finds it in a processor's own cache


def feature_scaling(features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and reciprocal standard deviation per feature, float64; 0 for constant features.

    Pooled features have one of each per value [*shape]. Token features have one of each per value of a token
    [hidden], over the tokens alone, without the padding.
    """
    shape = features.shape
    block_rows = min(features.rows, max(1, _BLOCK_BYTES // (4 * int(np.prod(shape)))))

    def sums(first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mean, sum of squared distances to the mean, and number of rows (or tokens) of a share."""
        total = torch.zeros(shape[-1:], dtype=torch.float64)
        squares, rows, shift = torch.zeros_like(total), 0, None
        held = torch.empty(block_rows, *shape)
        for block in features.blocks(block_rows, first, stop):
            values = held[: len(block)].copy_(torch.from_numpy(block))
            values = values[token_mask(values)] if len(shape) == 2 else values
            if shift is None and len(values):
                # What is far from 0 beside its spread would lose that spread in float32.
                shift = values.mean(0)
            if shift is not None:
                values.sub_(shift)
            # Within a block float32 is exact enough, and several times as fast.
            total += values.sum(0)
            squares += values.square_().sum(0)
            rows += len(values)
        distance = total / max(1, rows)
        return distance if shift is None else distance + shift, squares - rows * distance.square(), rows

    means, squares, counts = map(list, zip(*in_shares(sums, features.rows, shares=_SHARES), strict=True))
    rows = max(1, sum(counts))
    weights = torch.tensor(counts, dtype=torch.float64).unsqueeze(1) / rows
    shares = torch.stack(means)
    mean = (shares * weights).sum(0)
    variance = torch.stack(squares).sum(0) / rows + ((shares - mean).square() * weights).sum(0)
    deviation = variance.clamp(min=0).sqrt()
    return mean, torch.where(deviation > 1e-6, 1 / deviation, 0.0)
