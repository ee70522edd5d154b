"""Networks that are as dear as their longest row: rows of like length go through them together."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from .upper import EncoderHead

TOKENS_PER_BATCH = 4096
"""Of a batch where no gradients are wanted, with padding."""


def goes_by_length(network: nn.Module) -> bool:
    """Whether a network's rows are best grouped by their length."""
    return _encoder(network) is not None


def autocast_of(network: nn.Module) -> AbstractContextManager[object]:
    """The context in which a network's products are computed."""
    found = _encoder(network)
    return nullcontext() if found is None else found.autocast()


def encoder_of(network: nn.Module) -> "EncoderHead":
    """The first head of the kind ``encoder`` in a network that has one."""
    found = _encoder(network)
    if found is None:
        raise ValueError("the network has no layers of an encoder")
    return found


def _encoder(network: nn.Module) -> "EncoderHead | None":
    found: Any = next((one for one in network.modules() if getattr(one, "groups_by_length", False)), None)
    return found


def token_counts(features: np.ndarray) -> np.ndarray:
    """How many tokens to keep of each row, int64 [rows], of features [rows, length, hidden] with zeros as
    padding; at least 1.
    """
    is_token = (features != 0).any(-1)
    return np.where(is_token.any(1), is_token.shape[1] - is_token[:, ::-1].argmax(1), 1)


def trimmed(features: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
    """A batch [rows, longest, hidden], float32, of features [rows, length, hidden] and the rows' lengths."""
    return torch.from_numpy(np.ascontiguousarray(features[:, : int(lengths.max())])).float()


@torch.inference_mode()
def computed_by_length(
    network: nn.Module,
    take: Callable[[np.ndarray], np.ndarray],
    lengths: np.ndarray,
    run: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """What a network gives for all rows, float32 [rows, outputs], computed in batches of like length.

    ``take`` gives features [n, length, hidden] of positions int64 [n]. ``run`` takes a batch, and calls the
    network in its own way.
    """
    run = run or network
    order, found = np.argsort(-lengths, kind="stable"), None
    start = 0
    with autocast_of(network):
        while start < len(order):
            rows = order[start : start + max(1, TOKENS_PER_BATCH // int(lengths[order[start]]))]
            values = run(trimmed(take(rows), lengths[rows])).float()
            if found is None:
                found = torch.empty(len(order), values.shape[1])
            found[torch.from_numpy(rows)] = values
            start += len(rows)
    assert found is not None
    return found
