"""Vectors made elsewhere: an array in memory, or a .npy or Parquet file, read block by block."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...store import SourceError
from ...store.nearest import did_you_mean_path
from ...store.reading import fingerprint_of_file
from .parquet_vectors import ParquetVectors

_HEADERS: dict[Any, Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
KINDS = ("float16", "float32", "float64")
"""Types of numbers that vectors may have."""


@dataclass(frozen=True)
class Vectors:
    """Vectors [rows, width] of any of KINDS."""

    title: str
    """How messages name them."""
    rows: int
    width: int
    dtype: np.dtype[Any]
    block: Callable[[int, int], np.ndarray]
    """Rows from the first number to below the second, [n, width]; they must not be changed."""
    at: Callable[[np.ndarray], np.ndarray]
    """Rows of positions int64 [n], [n, width]."""
    is_null: np.ndarray | None = None
    """bool [rows]: whether a row has no vector; None where all have one."""
    require_unchanged: Callable[[], None] = lambda: None
    """Raises SourceError where the file is not what it was when it was opened."""


def row_title(row: int, vectors: str) -> str:
    """How messages name a row of vectors."""
    return f"row {row:,} (counted from 0) of {vectors}"


def array_vectors(values: Any, title: str = "the vectors") -> Vectors:
    """Vectors of an array in memory, or of what NumPy makes one of. Raises SourceError for other arrays."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise SourceError(f"{title} are no array of numbers: {_first_line(error)}") from error
    require_numbers(array.shape, array.dtype, title)
    rows, width = array.shape
    return Vectors(
        title, rows, width, array.dtype, lambda start, stop: array[start:stop], lambda chosen: array[chosen]
    )


def require_numbers(shape: tuple[int, ...], dtype: np.dtype[Any], title: str) -> None:
    """Raise SourceError unless an array is one of vectors: two dimensions, and floating-point numbers."""
    if dtype.hasobject:
        raise SourceError(
            f"{title}: the array holds Python objects; make numbers of it: "
            "numpy.stack(vectors).astype('float32')"
        )
    if len(shape) != 2:
        raise SourceError(
            f"{title}: the array has shape {list(shape)}; vectors are an array [rows, width] with a row for "
            "each text"
        )
    if dtype.newbyteorder("=").name not in KINDS:
        raise SourceError(f"{title}: the numbers are {dtype.name}; vectors are {', '.join(KINDS)}")
    if min(shape) < 1:
        raise SourceError(f"{title}: the array has shape {list(shape)}, and no numbers")


def require_known_form(given: Any, column: str | None) -> None:
    """Raise SourceError for what is neither a .npy nor a Parquet file, nor an array in memory.

    ``column`` is that of the vectors in a Parquet file.
    """
    if not isinstance(given, (str, Path)):
        if column is not None:
            raise SourceError("a column of vectors is that of a Parquet file; an array has none")
        return
    ending = Path(given).suffix.lower()
    if ending not in (".npy", ".parquet", ".pq"):
        raise SourceError(f"'{given}' is no .npy or .parquet file; vectors come in one of these")
    if not Path(given).is_file():
        raise SourceError(f"no file '{given}'{did_you_mean_path(given)}")
    if ending == ".npy" and column is not None:
        raise SourceError(f"--vector-column is for Parquet files, and {given} is an array; leave it out")


def open_vectors(given: Any, column: str | None, scratch: Path) -> Vectors:
    """Vectors of what :func:`require_known_form` lets pass.

    ``scratch`` is a folder, where a copy of a Parquet file's vectors is put. Raises SourceError for what
    holds no vectors.
    """
    if not isinstance(given, (str, Path)):
        return array_vectors(given)
    file = str(given)
    before = fingerprint_of_file(file)

    def require_unchanged() -> None:
        if fingerprint_of_file(file) != before:
            raise SourceError(f"{file} changed while it was read; run this again when it is complete")

    vectors = _npy_vectors(file) if file.lower().endswith(".npy") else _parquet_vectors(file, column, scratch)
    return replace(vectors, require_unchanged=require_unchanged)


def _npy_vectors(file: str) -> Vectors:
    try:
        with open(file, "rb") as stream:
            read = _HEADERS[np.lib.format.read_magic(stream)]
            shape, is_fortran, dtype = read(stream)
            offset = stream.tell()
    except KeyError as error:
        raise SourceError(f"{file} is a .npy file of a version that is not read; write it anew") from error
    except (ValueError, OSError) as error:
        raise SourceError(f"{file} cannot be read as .npy: {_first_line(error)}") from error
    if dtype.hasobject:
        raise SourceError(
            f"{file} holds pickled Python objects, which are never read; save an array of numbers: "
            "numpy.save(path, numpy.stack(vectors).astype('float32'))"
        )
    require_numbers(shape, dtype, file)
    if is_fortran and min(shape) > 1:
        raise SourceError(
            f"{file} is in Fortran order, column after column; save it row after row: "
            "numpy.save(path, numpy.ascontiguousarray(vectors))"
        )
    excess = Path(file).stat().st_size - offset - math.prod(shape) * dtype.itemsize
    if excess:
        raise SourceError(
            f"{file} has {abs(excess):,} bytes {'more' if excess > 0 else 'fewer'} than its header says; "
            "write it anew"
        )
    return file_vectors(file, file, shape, dtype, offset)


def _parquet_vectors(file: str, column: str | None, scratch: Path) -> Vectors:
    """Vectors of a Parquet file, put into a file of plain numbers: rows of it can be read in any order."""
    source = ParquetVectors(file, column)
    values = scratch / "vectors"
    is_null = np.zeros(source.rows, np.bool_)
    with values.open("wb") as out:
        start = 0
        for block, absent in source.blocks():
            block.tofile(out)
            is_null[start : start + len(absent)] = absent
            start += len(absent)
    shape = (source.rows, source.width)
    return file_vectors(file, str(values), shape, source.dtype, 0, is_null if is_null.any() else None)


def file_vectors(
    title: str,
    file: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    offset: int,
    is_null: np.ndarray | None = None,
) -> Vectors:
    """Vectors in a file of plain numbers, row after row from a byte on."""
    row_bytes = shape[1] * dtype.itemsize

    def block(start: int, stop: int) -> np.ndarray:
        # Read, and not mapped: pages of a map would stay in the memory of the process.
        values = np.fromfile(file, dtype, (stop - start) * shape[1], offset=offset + start * row_bytes)
        if len(values) < (stop - start) * shape[1]:
            raise SourceError(f"{title} became shorter while it was read; run this again when it is complete")
        return values.reshape(stop - start, shape[1])

    def at(rows: np.ndarray) -> np.ndarray:
        return np.memmap(file, dtype, "r", offset, shape)[rows]

    return Vectors(title, *shape, dtype, block, at, is_null)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
