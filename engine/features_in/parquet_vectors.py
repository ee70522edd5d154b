"""The column of vectors in a Parquet file, read block by block."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from ...store import SourceError
from ...store.file_kind import require_parquet
from ...store.nearest import did_you_mean

pc: Any = compute  # its functions are made when it is imported, and type checkers know only some of them
_DTYPES = {pa.float16(): np.float16, pa.float32(): np.float32, pa.float64(): np.float64}
_BLOCK_ROWS = 1024


class ParquetVectors:
    """Vectors of a column of lists of float16, float32 or float64.

    ``rows`` and ``width`` are their numbers; the width is that of the first vector. Raises SourceError for
    a file without such a column, and while it is read for a row that has another width.
    """

    def __init__(self, file: str, column: str | None = None):
        self._file = file
        require_parquet(file, other="give .npy or .parquet")
        try:
            self._parquet = pq.ParquetFile(file)
            schema = self._parquet.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        self._column = _column_of(schema, column, file)
        self.rows = self._parquet.metadata.num_rows
        self.dtype = np.dtype(_DTYPES[schema.field(self._column).type.value_type])
        self.width = 0

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Vectors [n, width] and whether each is null, bool [n]; null ones are NaN."""
        waiting = 0  # rows without a vector, before the first one tells the width
        start = 0
        for lists in self._lists():
            absent = lists.is_null().to_numpy(zero_copy_only=False)
            numbers = self._numbers(lists, absent, start)
            start += len(lists)
            if not self.width:
                waiting += len(lists)
                continue
            if waiting:
                yield np.full((waiting, self.width), np.nan, self.dtype), np.ones(waiting, np.bool_)
                waiting = 0
            block = np.full((len(lists), self.width), np.nan, self.dtype)
            block[~absent] = numbers
            yield block, absent
        if not self.width:
            raise SourceError(f"{self._file} has no vector in column '{self._column}'")

    def _lists(self) -> Iterator[Any]:
        try:
            for batch in self._parquet.iter_batches(_BLOCK_ROWS, columns=[self._column]):
                yield batch.column(0)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _numbers(self, lists: Any, absent: np.ndarray, start: int) -> np.ndarray:
        """The numbers of the vectors that are there, [n, width]."""
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        if not self.width and not absent.all():
            self.width = int(lengths[~absent][0])
            self._first = start + int(np.flatnonzero(~absent)[0])
            if not self.width:
                raise SourceError(
                    f"row {self._first:,} (counted from 0) of {self._file} is an empty list, and no vector"
                )
        wrong = np.flatnonzero(~absent & (lengths != self.width))
        if len(wrong):
            raise SourceError(
                f"row {start + int(wrong[0]):,} (counted from 0) of {self._file} has {lengths[wrong[0]]:,} "
                f"numbers, and row {self._first:,} has {self.width:,}; all vectors have one width"
            )
        values = lists.flatten()
        if values.null_count:
            place = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            row = start + int(np.flatnonzero(~absent)[place // self.width])
            raise SourceError(
                f"row {row:,} (counted from 0) of {self._file}: number {place % self.width:,} is null; a "
                "vector is whole, or the row is null"
            )
        return values.to_numpy(zero_copy_only=False).reshape(-1, max(self.width, 1))

    def _unreadable(self, error: Exception) -> SourceError:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return SourceError(
            f"{self._file} cannot be read as Parquet: {reason}; if it is damaged, copy or write it again"
        )


def _column_of(schema: pa.Schema, name: str | None, file: str) -> str:
    """The column of vectors: the one that is named, or ``features``, or the only one there is."""
    if name is not None and name not in schema.names:
        raise SourceError(
            f"column '{name}' is not in {file} (it has: {', '.join(schema.names)}); pass --vector-column"
            f"{did_you_mean(name, schema.names)}"
        )
    if name is not None and schema.names.count(name) == 1 and not _is_vector(schema.field(name).type):
        raise SourceError(
            f"column '{name}' of {file} is {schema.field(name).type}; vectors are lists of float16, float32 "
            "or float64"
        )
    found = [one.name for one in schema if _is_vector(one.type)]
    chosen = name or ("features" if "features" in found else found[0] if len(found) == 1 else None)
    if chosen is not None and schema.names.count(chosen) == 1:
        return chosen
    raise SourceError(_which(found, chosen, schema.names, file))


def _which(found: Sequence[str], chosen: str | None, names: Sequence[str], file: str) -> str:
    if chosen is not None:
        return f"{file} has several columns '{chosen}'; give the one of the vectors a name of its own"
    if found:
        return f"which column of {file} holds the vectors? {', '.join(found)}; pass --vector-column"
    return (
        f"no column of {file} holds vectors: lists of float16, float32 or float64 (it has: "
        f"{', '.join(names)}); write them as one column of lists"
    )


def _is_vector(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and kind.value_type in _DTYPES
