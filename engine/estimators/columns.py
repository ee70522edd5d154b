"""From what people hold texts in (lists, NumPy, pandas, polars, Arrow) to Arrow arrays of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ...store import SourceError


@dataclass(frozen=True)
class TextColumns:
    """A column of texts, or two of pairs of texts: string arrays of one length, null for no text."""

    columns: tuple[pa.Array, ...]
    names: tuple[str, ...] | None
    """Names of the columns; None where they have none."""

    @classmethod
    def of(cls, given: Any) -> "TextColumns":
        """Read texts. Raises SourceError, naming the first row, for a value that is no text."""
        if isinstance(given, (str, bytes)):
            raise SourceError("a single text was given; give a list of texts")
        if hasattr(given, "to_arrow"):  # polars
            given = given.to_arrow()
        columns, names = _columns(given)
        if len(columns) not in (1, 2):
            raise SourceError(
                f"{len(columns)} columns were given; texts are one column, and pairs of texts are two"
            )
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise SourceError("the two columns of pairs are not of one length")
        return cls(tuple(_text_array(column) for column in columns), names)

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def texts(self) -> pa.Array:
        """The texts, or the first texts of pairs."""
        return self.columns[0]

    @property
    def pairs(self) -> pa.Array | None:
        """The second texts of pairs."""
        return self.columns[1] if len(self.columns) > 1 else None

    def take(self, rows: np.ndarray) -> "TextColumns":
        """Some of the rows, int64 positions, in the order given."""
        return TextColumns(tuple(column.take(pa.array(rows)) for column in self.columns), self.names)

    def why_unusable(self, row: int) -> str:
        """What a row without a usable text holds in its place: ``null`` or ``empty``."""
        return "empty" if all(column[row].is_valid for column in self.columns) else "null"


def _columns(given: Any) -> tuple[list[Any], tuple[str, ...] | None]:
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        return list(given.columns), tuple(given.schema.names)
    if isinstance(given, (pa.Array, pa.ChunkedArray)):
        return [given], None
    if hasattr(given, "iloc"):  # pandas
        if getattr(given, "ndim", 1) == 1:
            return [given.to_numpy(dtype=object)], None
        names = tuple(map(str, given.columns))
        return [given.iloc[:, number].to_numpy(dtype=object) for number in range(len(names))], names
    if isinstance(given, np.ndarray) or not isinstance(given, Sequence):
        array = np.asarray(given)
        if array.ndim == 1:
            return [array], None
        if array.ndim == 2:
            return list(array.T), None
        raise SourceError(f"texts are one column or two, not an array of {array.ndim} dimensions")
    if given and all(isinstance(row, (list, tuple)) and len(row) == 2 for row in given):
        return [[row[0] for row in given], [row[1] for row in given]], None
    return [given], None


def _text_array(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.Array) and pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # type: ignore[attr-defined]
    if isinstance(column, pa.Array) and not (_is_text(column.type) or column.null_count == len(column)):
        raise SourceError(f"a column of {column.type} was given; texts are strings")
    try:
        if isinstance(column, pa.Array):
            return column.cast(pa.large_string())
        if not any(isinstance(value, (bytes, bytearray)) for value in column):
            return pa.array(column, pa.large_string(), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, UnicodeError):
        pass
    raise _first_bad(column)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _first_bad(column: Any) -> SourceError:
    """The error for the first value that is no text."""
    for row, value in enumerate(column):
        try:
            if not isinstance(value, (bytes, bytearray)):
                pa.array([value], pa.string(), from_pandas=True)
                continue
        except UnicodeError:
            return SourceError(f"row {row} (counted from 0) holds characters that are no Unicode text")
        except (pa.ArrowException, TypeError, ValueError):
            pass
        return SourceError(f"row {row} (counted from 0) holds {value!r:.40}, which is no text")
    return SourceError("the texts cannot be read as one column of strings")
