"""Features of rows in an order of the caller's, read from where they are stored when they are asked for."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from .lookup import NOWHERE
from .mapped_tokens import mapped_features
from .spec import FeatureSpec
from .table import FeatureTable

_BLOCK_BYTES = 16 << 20  # of features gathered at a time


class FeatureRows:
    """Features [rows, *shape] of some rows, in the order of the rows.

    Nothing but 8 bytes a row is held: ``rows[5]``, ``rows[10:20]``, ``rows[positions]`` and ``rows[mask]``
    gather features from the memory-mapped shards, and ``numpy.asarray(rows)`` all of them. What is
    gathered is a new array of the stored element type. Rows without features are NaN there, and null in
    :meth:`as_arrow`.
    """

    def __init__(
        self,
        table: FeatureTable,
        locations: np.ndarray,
        without_text: np.ndarray,
        use: FeatureSpec | None = None,
    ):
        """``locations`` int64 [rows] are NOWHERE for rows without features; ``without_text`` are the
        positions int64 of those whose text is the reason.
        """
        self._features = mapped_features(table.listed_shards, table.spec, use)
        self._table = table  # which holds its version, so that a vacuum leaves the shards
        self._locations = locations
        self.spec = self._features.spec
        """Setting of the features."""
        self.without_text = without_text
        """Positions int64 of the rows whose text is null, empty or no text."""

    @property
    def has_features(self) -> np.ndarray:
        """bool [rows]: whether a row has features."""
        return self._locations != NOWHERE

    @property
    def missing(self) -> np.ndarray:
        """Positions int64 of the rows with a text that is not in the store."""
        return np.setdiff1d(np.flatnonzero(~self.has_features), self.without_text)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of a row's features."""
        return (len(self._locations), *self.spec.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The stored element type."""
        return self.spec.numpy_dtype

    def __len__(self) -> int:
        return len(self._locations)

    def __repr__(self) -> str:
        absent = int((~self.has_features).sum())
        return f"FeatureRows(shape={self.shape}, dtype={self.dtype}, {absent:,} rows without features)"

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Features [n, *shape] of a slice, of positions int [n] or of a mask bool [rows]; [*shape] of one."""
        if isinstance(rows, slice):
            return self._gathered(self._locations[rows])
        if isinstance(rows, (list, np.ndarray, pa.Array)):
            return self._gathered(self._locations[np.asarray(rows)] if len(rows) else self._locations[:0])
        return self._gathered(self._locations[[operator.index(rows)]])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("features are gathered into a new array; leave out copy=False")
        values = np.empty(self.shape, self.dtype if dtype is None else dtype)
        start = 0
        for block in self.blocks():
            values[start : start + len(block)] = block
            start += len(block)
        return values

    def blocks(self, rows: int | None = None) -> Iterator[np.ndarray]:
        """Features [n, *shape] of all rows in order, at most ``rows`` at a time."""
        rows = rows or max(1, _BLOCK_BYTES // self.spec.row_bytes)
        for start in range(0, len(self), rows):
            yield self._gathered(self._locations[start : start + rows])

    def as_arrow(self) -> pa.ChunkedArray:
        """All features as Arrow: lists of a fixed size, flattened; null for rows without features.

        ``.to_pandas()`` and ``polars.from_arrow(…)`` make a Series of it.
        """
        number = pa.from_numpy_dtype(self.dtype)
        width = int(np.prod(self.spec.shape))
        kind = pa.list_(pa.field("element", number, nullable=False), width)
        chunks, start = [], 0
        for block in self.blocks():
            absent = self._locations[start : start + len(block)] == NOWHERE
            start += len(block)
            numbers = pa.Array.from_buffers(number, block.size, [None, pa.py_buffer(block)])
            mask = pa.array(absent) if absent.any() else None
            chunks.append(pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=mask))
        return pa.chunked_array(chunks, kind)

    def _gathered(self, locations: np.ndarray) -> np.ndarray:
        usable = locations != NOWHERE
        if usable.all():
            return self._features.take(locations)
        values = np.full((len(locations), *self.spec.shape), np.nan, self.dtype)
        values[usable] = self._features.take(locations[usable])
        return values
