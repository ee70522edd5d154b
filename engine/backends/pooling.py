"""Hidden states to features."""

import torch


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool one layer's hidden state.

    hidden: [rows, length, hidden]; mask: [rows, length], 1 for tokens and 0 for padding. Returns
    [rows, hidden] for cls, mean and max, and [rows, length, hidden], zero at padding, for tokens.
    Special tokens count as tokens, as in sentence-transformers.
    """
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "mean":
        return (hidden * weights).sum(1) / weights.sum(1)
    if pooling == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    if pooling == "tokens":
        return hidden * weights
    raise ValueError(f"unknown pooling '{pooling}'")


def features(
    hidden: dict[int, torch.Tensor], mask: torch.Tensor, layers: tuple[int, ...], pooling: tuple[str, ...]
) -> torch.Tensor:
    """All parts of a setting, concatenated on the last axis layer by layer, in float32."""
    return torch.cat([pool(hidden[layer].float(), mask, how) for layer in layers for how in pooling], dim=-1)
