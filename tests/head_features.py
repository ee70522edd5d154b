"""Features and heads for tests of networks."""

import numpy as np
import torch
from enc.engine.heads.making import make_head

HIDDEN, LENGTH = 6, 7


def token_features(lengths, max_length, seed=0) -> torch.Tensor:
    """Random features, the same for the tokens of a row whatever the padding."""
    features = torch.zeros(len(lengths), max_length, HIDDEN)
    for row, length in enumerate(lengths):
        values = torch.from_numpy(np.random.default_rng([seed, row]).standard_normal((length, HIDDEN)))
        features[row, :length] = values.float()
    return features


def scaled_head(kind, shape, outputs=3, **arguments):
    """A head in evaluation mode behind scaling that would move padding away from zero."""
    torch.manual_seed(0)
    head = make_head(kind, shape, outputs, arguments).eval()
    head.mean.copy_(torch.linspace(-1, 2, shape[-1]))
    head.scale.copy_(torch.linspace(0.5, 3, shape[-1]))
    return head
