import numpy as np
import pytest
from enc.engine.pairs.token_block import TokenBlock
from enc.engine.pairs.vectors import parts_of, pooled_parts
from fakes import fake_spec


def test_tokens_are_pooled_without_their_padding():
    spec = fake_spec(pooling=("tokens",), layers=(1, 2), max_length=3)
    tokens = np.zeros((2, 3, 8), np.float32)
    tokens[0, :2] = [np.arange(8), -np.arange(8) - 2]
    pooled = pooled_parts(spec, TokenBlock.of(spec, tokens))
    assert pooled.shape == (2, *parts_of(spec)) == (2, 6, 4)
    np.testing.assert_array_equal(pooled[0, 0], [-1] * 4)  # the mean of layer 1
    np.testing.assert_array_equal(pooled[0, 1], [0, 1, 2, 3])  # the maximum
    np.testing.assert_array_equal(pooled[0, 2], [0, 1, 2, 3])  # the first token
    np.testing.assert_array_equal(pooled[0, 3], [-1] * 4)  # the mean of layer 2
    np.testing.assert_array_equal(pooled[0, 4], [4, 5, 6, 7])  # the maximum
    assert not pooled[1].any()  # no tokens


@pytest.mark.parametrize("layers", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("left", [False, True])
def test_padding_that_all_texts_have_is_left_out(layers, dtype, left):
    spec = fake_spec(pooling=("tokens",), hidden_size=3, layers=layers, max_length=9)
    values = np.random.default_rng(0).normal(size=(2, *spec.shape)).astype(dtype)
    for row, length in zip(values, (4, 2), strict=True):
        row[:-length] = 0
    block = TokenBlock.of(spec, values if left else values[:, ::-1])
    assert block.vectors.shape == (2, 4, len(layers), 3)
    assert block.is_token.sum(1).tolist() == [4, 2]
    assert (block.vectors != 0).any((2, 3)).tolist() == block.is_token.tolist()
