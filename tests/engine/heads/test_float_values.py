import numpy as np
import pytest
from enc.engine.heads.float_values import float_blocks


def test_every_finite_float16_is_the_same_number():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 16)
    (found,) = [block.copy() for block in float_blocks(finite)]
    expected = finite.astype(np.float32)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))  # so is the sign of zero


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (384,), (7, 100_000)])
@pytest.mark.parametrize("rows", [0, 1, 5, 1025])
def test_blocks_are_all_rows_in_order(dtype, shape, rows):
    if rows * np.prod(shape) > 5_000_000:
        rows = 7
    features = np.random.default_rng(0).standard_normal((rows, *shape)).astype(dtype)
    blocks = [block.copy() for block in float_blocks(features)]
    assert all(block.dtype == np.float32 for block in blocks)
    found = np.concatenate([np.empty((0, *shape), np.float32), *blocks])
    assert np.array_equal(found, features.astype(np.float32))
