"""Rows that someone fills in: TSV, CSV or Parquet, by the ending."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ...store import SourceError
from ...store.files import replaced_file

_ENDINGS = (".tsv", ".csv", ".parquet")


def require_sheet(output: str | Path) -> None:
    """Raise SourceError for an ending that is none of a sheet's."""
    if Path(output).suffix.lower() not in _ENDINGS:
        raise SourceError(f"'{output}' must end with {', '.join(_ENDINGS)}: the rows are written as that")


def write_sheet(table: pa.Table, output: Path) -> None:
    """Write rows, whole or not at all. Lists are written as JSON to TSV and CSV, and nulls as nothing.

    TSV is written as GLUE's, without quotes. Raises SourceError for a text that it cannot hold.
    """
    kind = output.suffix.lower()
    if kind == ".tsv":
        text = _tsv(table)
        with replaced_file(output) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
        return
    with replaced_file(output) as part:
        if kind == ".parquet":
            pq.write_table(table, part)
            return
        try:
            pyarrow.csv.write_csv(pa.table({name: _plain(table[name]) for name in table.column_names}), part)
        except pa.ArrowException as error:
            raise SourceError(f"'{output}' cannot hold these columns ({error}); choose .parquet") from error


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_list(column.type):
        return column
    return pa.chunked_array([pa.array(map(_cell, column.to_pylist()), pa.string())])


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _tsv(table: pa.Table) -> str:
    lines = ["\t".join(table.column_names)]
    for number, row in enumerate(table.to_pylist(), 1):
        cells = [_cell(value) or "" for value in row.values()]
        for name, cell in zip(row, cells, strict=True):
            if any(character in cell for character in "\t\r\n"):
                raise SourceError(
                    f"column '{name}' of row {number} to label has a tab or a line break, which no TSV "
                    "holds; let the output end with .csv or .parquet"
                )
        lines.append("\t".join(cells))
    return "\n".join([*lines, ""])
