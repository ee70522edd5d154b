"""Poolings of two rows by hand; the second row has a token of padding, whose values must not count."""

import pytest
import torch
from enc.engine.backends.pooling import features, pool

HIDDEN = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [8.0, -6.0]], [[2.0, -6.0], [4.0, -8.0], [99.0, 99.0]]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [[1, -4], [2, -6]]),
        ("mean", [[4, -4], [3, -7]]),
        ("max", [[8, -2], [4, -6]]),
        ("tokens", [[[1, -4], [3, -2], [8, -6]], [[2, -6], [4, -8], [0, 0]]]),
    ],
)
def test_padding_never_counts(pooling, expected):
    assert pool(HIDDEN, MASK, pooling).tolist() == expected


def test_an_unknown_pooling_is_an_error():
    with pytest.raises(ValueError, match="unknown pooling 'median'"):
        pool(HIDDEN, MASK, "median")


def test_parts_lie_layer_by_layer():
    hidden = {1: HIDDEN.half(), 2: 10 * HIDDEN.half()}
    found = features(hidden, MASK, (2, 1), ("cls", "mean"))
    assert found.dtype == torch.float32
    assert found[0].tolist() == [10, -40, 40, -40, 1, -4, 4, -4]
