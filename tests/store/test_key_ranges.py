from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from enc.store.key_ranges import RANGE_KEYS, KeyRanges, key_words, keys_of_hex, range_bits


def random_keys(count, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 63, (count, 4), dtype=np.uint64)


def test_ranges_hold_every_key_once_in_order(tmp_path):
    keys = random_keys(5000)
    with closing(KeyRanges(tmp_path, 8 * RANGE_KEYS)) as ranges:
        for start in range(0, 5000, 777):
            part = slice(start, start + 777)
            ranges.add(keys[part], np.arange(5000)[part])
        seen = []
        for number in range(len(ranges)):
            found, numbers = ranges.range(number)
            assert (keys[numbers] == found).all()
            assert (np.diff(numbers) > 0).all()
            leading = found.view(np.uint8).reshape(-1, 32)[:, 0]
            assert (leading >> 5 == number).all()
            seen += numbers.tolist()
        assert len(ranges) == 8
        assert sorted(seen) == list(range(5000))
    assert not list(tmp_path.iterdir())


def test_one_range_does_for_few_keys(tmp_path):
    keys = random_keys(10)
    with closing(KeyRanges(tmp_path, 10)) as ranges:
        ranges.add(keys, np.arange(10))
        assert len(ranges) == 1
        assert (ranges.range(0)[0] == keys).all()


@pytest.mark.parametrize(
    ("keys", "bits"),
    [(0, 0), (RANGE_KEYS, 0), (RANGE_KEYS + 1, 1), (16 * RANGE_KEYS, 4), (1 << 50, 16)],
)
def test_a_range_has_not_many_more_keys_than_fit(keys, bits):
    assert range_bits(keys) == bits


def test_keys_of_an_arrow_array_are_not_copied():
    keys = [bytes([n] * 32) for n in range(5)]
    words = key_words(pa.array(keys, pa.binary())[1:4])
    assert [row.tobytes() for row in words] == keys[1:4]
    assert key_words(pa.array([], pa.binary())).shape == (0, 4)
    with pytest.raises(ValueError, match="32 bytes"):
        key_words(pa.array([b"short"], pa.binary()))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_keys_of_hexadecimal_digits(kind):
    keys = [None, b"a" * 32, None, None, b"\xf0" * 32, bytes(range(32)), None]
    digits = pa.array([key.hex() if key else None for key in keys], kind)
    assert keys_of_hex(digits).to_pylist() == keys
    assert keys_of_hex(digits[1:5]).to_pylist() == keys[1:5]
    assert keys_of_hex(digits[4:6]).to_pylist() == keys[4:6]
    keys_of_hex(digits[1:5]).validate(full=True)
    assert keys_of_hex(digits[:1]).to_pylist() == [None]
    assert keys_of_hex(digits[:0]).to_pylist() == []
    with pytest.raises(ValueError, match=r"[Hh]ex"):
        keys_of_hex(pa.array(["no digits!"]))
