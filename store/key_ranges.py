"""Keys on disk, in ranges by their leading bits, so that a range of any number of keys fits into memory."""

import binascii
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from .shard_writer import KEY_BYTES

RANGE_KEYS = 1 << 18  # so many keys of about 40 bytes are compared at a time
MAX_RANGE_BITS = 16
_WORDS = KEY_BYTES // 8


class KeyRanges:
    """Keys with a number each. Keys are uniform, being hashes, so that all ranges have about as many.

    They are in a temporary file of ``folder``, in blocks of what was added at a time, and sorted by range
    in each block. Memory: the block that is being added, and 8 bytes for each range of a block.
    """

    def __init__(self, folder: Path, keys: int):
        self.bits = range_bits(keys)
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (close() closes it)
        self._starts: list[np.ndarray] = []
        self._rows = 0

    def __len__(self) -> int:
        """How many ranges there are."""
        return 1 << self.bits

    def add(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Add keys, uint64 [n, 4] as of :func:`key_words`, and their numbers, int64 [n]."""
        ranges = self._ranges_of(keys)
        # NumPy sorts 16-bit integers by radix: quickly, and keeping the order of equal ones.
        order = np.argsort(ranges, kind="stable")
        rows = np.empty((len(keys), _WORDS + 1), np.uint64)
        np.take(keys, order, axis=0, out=rows[:, :_WORDS])
        rows[:, _WORDS] = numbers[order].view(np.uint64)
        self._file.write(rows.data)
        counts = np.bincount(ranges, minlength=len(self))
        self._starts.append(self._rows + np.concatenate([[0], np.cumsum(counts)]))
        self._rows += len(keys)

    def range(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys, uint64 [n, 4], and their numbers, int64 [n], of one range, in the order they were added."""
        size = (_WORDS + 1) * 8
        blocks = []
        for starts in self._starts:
            self._file.seek(int(starts[number]) * size)
            blocks.append(self._file.read(int(starts[number + 1] - starts[number]) * size))
        rows = np.frombuffer(b"".join(blocks), np.uint64).reshape(-1, _WORDS + 1)
        return np.ascontiguousarray(rows[:, :_WORDS]), rows[:, _WORDS].astype(np.int64)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _ranges_of(self, keys: np.ndarray) -> np.ndarray:
        leading = keys.view(np.uint8).reshape(len(keys), KEY_BYTES)[:, :2]
        numbers = leading[:, 0].astype(np.uint16) << 8 | leading[:, 1]
        return numbers >> (16 - self.bits) if self.bits else np.zeros_like(numbers)


def range_bits(keys: int) -> int:
    """How many leading bits tell the range, so that none has many more than RANGE_KEYS of so many keys."""
    return min(MAX_RANGE_BITS, max(0, (keys - 1) // RANGE_KEYS).bit_length())


def keys_of_hex(digits: pa.StringArray | pa.LargeStringArray) -> pa.Array:
    """Keys of their hexadecimal digits (:func:`enc.store.plan.hex_key_sql`), null where these are null."""
    number, kind = (
        (np.int64, pa.large_binary()) if pa.types.is_large_string(digits.type) else (np.int32, pa.binary())
    )
    if not len(digits):
        return pa.array([], kind)
    validity, offsets, data = digits.buffers()
    bounds = np.frombuffer(offsets, number)[digits.offset : digits.offset + len(digits) + 1]
    start, end = int(bounds[0]), int(bounds[-1])
    keys = binascii.unhexlify(data[start:end]) if end > start else b""
    if digits.offset and digits.null_count:
        validity = pa.array(digits.is_valid().to_numpy(zero_copy_only=False)).buffers()[1]
    moved = (bounds - start) // 2
    buffers = [validity if digits.null_count else None, pa.py_buffer(moved), pa.py_buffer(keys)]
    return pa.Array.from_buffers(kind, len(digits), buffers, digits.null_count)


def key_words(keys: pa.Array) -> np.ndarray:
    """Keys, an array of binary without nulls and each 32 bytes long, as uint64 [n, 4]. Nothing is copied."""
    if not len(keys):
        return np.zeros((0, _WORDS), np.uint64)
    number = np.int64 if pa.types.is_large_binary(keys.type) else np.int32
    offsets = np.frombuffer(keys.buffers()[1], number)[keys.offset : keys.offset + len(keys) + 1]
    start, end = int(offsets[0]), int(offsets[-1])
    if end - start != len(keys) * KEY_BYTES or (np.diff(offsets) != KEY_BYTES).any():
        raise ValueError(f"keys must have {KEY_BYTES} bytes each")
    data = np.frombuffer(keys.buffers()[2], np.uint8)[start:end]
    return data.view(np.uint64).reshape(-1, _WORDS)


def first_rows(keys: np.ndarray) -> np.ndarray:
    """The first row of each distinct key, int64 [distinct]; of keys uint64 [n, 4]."""
    if not len(keys):
        return np.empty(0, np.int64)
    order = np.argsort(keys[:, 1], kind="stable")
    is_new, is_same_word = _steps(keys, order)
    if (is_new & is_same_word).any():  # one word does not tell them apart
        order = np.lexsort(keys.T)
        is_new, _ = _steps(keys, order)
    return order[np.concatenate([[True], is_new])]


def _steps(keys: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row in this order, from the second, has another key than the row before it, and whether
    it has the second word of that row, bool [n - 1] each.
    """
    ordered = keys.take(order, axis=0)
    same = ordered[1:] == ordered[:-1]
    return ~(same[:, 0] & same[:, 1] & same[:, 2] & same[:, 3]), same[:, 1]
