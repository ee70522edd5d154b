"""Writing arrays and Arrow files in blocks, so that memory does not grow with the rows."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa


class ArrowWriter:
    """An Arrow IPC file, which can be mapped; a context manager that closes it."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._writer = pa.ipc.new_file(path, schema)

    def __enter__(self) -> "ArrowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add some rows."""
        self._writer.write_batch(batch)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the values of dictionaries: an Arrow file has one dictionary for all of its rows."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)


def write_npy(file: IO[bytes], shape: tuple[int, ...], dtype: str, blocks: Iterable[np.ndarray]) -> None:
    """Write an array of this shape, in numpy's format, from blocks of its rows.

    Raises ValueError where the blocks have not the rows of the shape.
    """
    kind, rows = np.dtype(dtype).newbyteorder("<"), 0
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        file.write(np.ascontiguousarray(block, kind).data.cast("B") if block.size else b"")
        rows += len(block)
    if rows != shape[0]:
        raise ValueError(f"{rows:,} rows came for an array of {shape[0]:,}")


class NpzWriter:
    """A zip file of arrays, as numpy.load opens it; a context manager that closes it."""

    def __init__(self, path: Path):
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> "NpzWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def write(self, name: str, shape: tuple[int, ...], dtype: str, blocks: Iterable[np.ndarray]) -> None:
        """Add an array from blocks of its rows."""
        with self._zip.open(f"{name}.npy", "w", force_zip64=True) as file:
            write_npy(file, shape, dtype, blocks)
