"""Texts in memory as a source: lists, arrays, and the columns of pandas, polars and Arrow."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import SourceError
from .source import Source

TEXT, PAIR = "text", "pair"


def is_table(texts: Any) -> bool:
    """Whether something is a table with columns, of pandas, polars or Arrow, and not a column or a list."""
    return isinstance(texts, (pa.Table, pa.RecordBatch)) or (
        hasattr(texts, "columns") and hasattr(texts, "shape") and len(texts.shape) == 2
    )


def write_table(table: Any, path: Path) -> list[str]:
    """Write a table of pandas, polars or Arrow as Parquet; returns the names of its columns.

    Raises SourceError for what Arrow cannot hold.
    """
    try:
        if hasattr(table, "__arrow_c_stream__"):
            found = pa.table(table)
        elif hasattr(table, "to_arrow"):  # of polars before it had Arrow's own interface
            found = table.to_arrow()
        else:
            found = pa.Table.from_pandas(table, preserve_index=False)
        pq.write_table(found, path, compression="lz4")
        return found.schema.names
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SourceError(f"the table cannot be read: {_first_line(error)}") from error


def write_texts(texts: Any, pairs: Any, path: Path) -> Source:
    """Write texts, or pairs of texts, as Parquet; returns them as a source.

    Raises SourceError for what are no texts, and for pairs of another number.
    """
    columns = {TEXT: _column(texts, "texts")}
    if pairs is not None:
        columns[PAIR] = _column(pairs, "pairs")
        if len(columns[PAIR]) != len(columns[TEXT]):
            raise SourceError(
                f"there are {len(columns[TEXT]):,} texts and {len(columns[PAIR]):,} second texts; "
                "give one for each"
            )
    pq.write_table(pa.table(columns), path, compression="lz4")
    return Source(path, text_column=TEXT, pair_column=PAIR if pairs is not None else None, format="parquet")


def _column(texts: Any, title: str) -> pa.ChunkedArray:
    if isinstance(texts, str):
        raise SourceError(f"{title} are a list, a Series or an array of texts, not one text; write [text]")
    try:
        if isinstance(texts, (pa.Array, pa.ChunkedArray)):
            found: Any = texts
        elif hasattr(texts, "__arrow_c_stream__"):
            found = pa.chunked_array(texts)
        else:
            items = texts if isinstance(texts, (list, np.ndarray)) or hasattr(texts, "dtype") else list(texts)
            found = pa.array(items, from_pandas=True)
        column = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        if not (
            pa.types.is_string(column.type)
            or pa.types.is_large_string(column.type)
            or pa.types.is_string_view(column.type)
        ):
            raise SourceError(f"{title} are of type {column.type}; make text of them first")
        return column.cast(pa.large_string())
    except (pa.ArrowException, TypeError, UnicodeError) as error:
        raise SourceError(f"{title} are no list of texts: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
