"""Hidden states to features."""

import torch


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool one layer's hidden state.

    hidden: [rows, length, hidden]; mask: [rows, length], 1 for tokens and 0 for padding. Returns
    [rows, hidden], and for tokens [rows, length, hidden], zero at padding. Special tokens count as tokens,
    as in sentence-transformers, whose names and formulas the poolings have.
    """
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "tokens":
        return hidden * weights
    if pooling == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    if pooling == "mean_sqrt_len_tokens":
        return (hidden * weights).sum(1) / weights.sum(1).sqrt()
    if pooling == "weightedmean":
        weights = weights * _numbers(mask)
    elif pooling == "lasttoken":
        weights = weights * (_numbers(mask) == mask.sum(1)[:, None, None])
    elif pooling != "mean":
        raise ValueError(f"unknown pooling '{pooling}'")
    return (hidden * weights).sum(1) / weights.sum(1)


def _numbers(mask: torch.Tensor) -> torch.Tensor:
    """[rows, length, 1]: the number of each token in its text, from 1; padding has the last token's."""
    return mask.cumsum(1).unsqueeze(-1)


def features(
    hidden: dict[int, torch.Tensor], mask: torch.Tensor, layers: tuple[int, ...], pooling: tuple[str, ...]
) -> torch.Tensor:
    """All parts of a setting, concatenated on the last axis layer by layer, in float32."""
    return torch.cat([pool(hidden[layer].float(), mask, how) for layer in layers for how in pooling], dim=-1)
