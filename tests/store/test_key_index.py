import numpy as np
import pytest
from enc.store.key_index import NOWHERE, KeyIndex


def keys_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 63, (count, 4), dtype=np.uint64) << np.uint64(1)


@pytest.mark.parametrize("count", [0, 1, 2, 1000, 70_000])
def test_each_key_is_found_with_its_number_and_no_other_one(count):
    keys, numbers = keys_of(count), np.random.default_rng(1).permutation(count)
    index = KeyIndex(keys, numbers)
    assert len(index) == count
    found = index.find(keys)
    assert (index.numbers[found] == numbers).all()
    others = keys.copy()
    others[:, 3] += np.uint64(1)  # the same place and three equal words
    assert (index.find(others) == NOWHERE).all()


def test_the_least_number_of_a_key_is_found():
    keys = np.repeat(keys_of(50), 3, axis=0)
    numbers = np.random.default_rng(2).permutation(150)
    index = KeyIndex(keys, numbers)
    assert (index.numbers[index.find(keys[::3])] == numbers.reshape(50, 3).min(1)).all()


def test_keys_of_one_place_are_told_apart():
    keys = keys_of(300)
    keys[:, 1] = 7
    assert (KeyIndex(keys, np.arange(300)).find(keys) == np.arange(300)).all()
