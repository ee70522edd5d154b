"""Where the rows of ragged token features are in a shard.

The page of a row group has, for each row, four bytes with the number of bytes that follow, and these
bytes (PLAIN encoding of BYTE_ARRAY). The numbers of tokens stand in a page of their own, so that all
rows are found without walking along the features.
Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from .errors import DamagedShard
from .pages import Page, is_finite
from .places import fetched
from .shard_file import is_finished_name
from .spec import FeatureSpec

PREFIX_BYTES = 4


@dataclass(frozen=True)
class RaggedRows:
    """The rows of a shard: how many tokens each has, and where it begins."""

    spec: FeatureSpec
    lengths: np.ndarray
    """Tokens, int32 [rows]; zeros in row groups whose pages contradict each other."""
    starts: np.ndarray
    """Bytes in the file, int64 [rows]."""
    first_rows: np.ndarray
    """Of each row group, int64."""
    is_consistent: np.ndarray
    """Whether the two pages of a row group fit each other, bool [row groups]."""

    @classmethod
    def read(
        cls,
        descriptor: int,
        pages: Sequence[Sequence[Page | None]],
        sizes: np.ndarray,
        spec: FeatureSpec,
        path: str,
    ) -> "RaggedRows | None":
        """The rows of an open file, by the pages of each row group, the last two of them tokens and features.

        None where another tool has written these columns in another way. ``path`` is the file's.
        """
        lengths, starts, fits = [], [], []
        for group, rows in zip(pages, sizes.tolist(), strict=True):
            counts, features = group[-2:]
            if counts is None or features is None or counts.size != rows * 4:
                return None
            found = np.frombuffer(_bytes_of(descriptor, counts, path), "<i4")
            bytes_in_all = rows * PREFIX_BYTES + int(found.sum(dtype=np.int64)) * spec.vector_bytes
            is_possible = (
                len(found) == rows
                and bool(((found >= 0) & (found <= spec.max_length)).all())
                and bytes_in_all == features.size
            )
            if not is_possible and not is_finished_name(os.path.basename(path)):
                return None
            fits.append(is_possible)
            found = found if is_possible else np.zeros(rows, np.int32)
            lengths.append(found)
            starts.append(features.start + _value_starts(found, spec))
        if not lengths:
            return None
        return cls(
            spec, np.concatenate(lengths), np.concatenate(starts), np.cumsum(sizes) - sizes, np.array(fits)
        )

    @classmethod
    def one_after_the_other(cls, lengths: np.ndarray, spec: FeatureSpec) -> "RaggedRows":
        """Rows of a file that holds nothing but their vectors."""
        sizes = lengths.astype(np.int64) * spec.vector_bytes
        return cls(spec, lengths, np.cumsum(sizes) - sizes, np.zeros(1, np.int64), np.ones(1, bool))

    def look(self, group: int, path: str) -> Callable[[int, memoryview], None]:
        """A function to be called with parts of a row group's page, and the byte where each begins.

        A part is of whole numbers. The function raises DamagedShard where the bytes before a row are not the
        row's length, or features are not finite.
        """
        if not self.is_consistent[group]:
            raise DamagedShard(path, f"is damaged: row group {group} is not what was written")
        stops = [*self.first_rows[1:].tolist(), len(self.lengths)]
        lengths = self.lengths[self.first_rows[group] : stops[group]]
        number = self.spec.numpy_dtype
        halves = PREFIX_BYTES // number.itemsize  # numbers of the features' type that take up a length
        prefixes = (lengths.astype("<u4") * np.uint32(self.spec.vector_bytes)).view(f"<u{number.itemsize}")
        firsts = (_value_starts(lengths, self.spec) - PREFIX_BYTES) // number.itemsize
        places = (firsts[:, None] + np.arange(halves)).ravel()

        def look_at(start: int, part: memoryview) -> None:
            first, values = start // number.itemsize, np.frombuffer(part, prefixes.dtype).copy()
            low, high = np.searchsorted(places, [first, first + len(values)])
            inside = places[low:high] - first
            if (values[inside] != prefixes[low:high]).any():
                raise DamagedShard(path, f"is damaged: lengths in row group {group} contradict each other")
            values[inside] = 0  # a length may look like a number that is not finite
            if not is_finite(values.view(number)):
                raise DamagedShard(path, "has features that are not finite")

        return look_at


def _bytes_of(descriptor: int, page: Page, path: str) -> bytes:
    """The bytes of a page, fetched anew where a cached file has not what the object store has."""
    data = os.pread(descriptor, page.size, page.start)
    if page.checksum in (None, crc32(data)):
        return data
    whole = fetched(path, page.start, page.size)
    data = data if whole is None or page.checksum != crc32(whole) else whole
    return data.ljust(page.size, b"\0")  # a file that was cut off


def _value_starts(lengths: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Where rows begin after the beginning of their page, int64 [rows]."""
    stops = np.cumsum(lengths.astype(np.int64) * spec.vector_bytes + PREFIX_BYTES)
    return stops - lengths.astype(np.int64) * spec.vector_bytes
