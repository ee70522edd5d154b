"""Features for tests of heads over tokens."""

import numpy as np
import torch

HIDDEN, LENGTH = 6, 7


def token_features(lengths, max_length, seed=0) -> torch.Tensor:
    """Random features, the same for the tokens of a row whatever the padding."""
    features = torch.zeros(len(lengths), max_length, HIDDEN)
    for row, length in enumerate(lengths):
        values = torch.from_numpy(np.random.default_rng([seed, row]).standard_normal((length, HIDDEN)))
        features[row, :length] = values.float()
    return features
