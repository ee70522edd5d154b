"""All columns of a source's rows as Parquet, whatever they were read from."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from .lines import Rejects
from .plan import quoted
from .reading import Scan, forget, scan_of, tolerant
from .source import Source, pick_columns
from .source_connection import errors_of_source, reading_connection
from .stage import Stage

_BATCH_ROWS = 8192
_MEMORY_BYTES = 1 << 30  # that a user's query may take


def write_query(con: duckdb.DuckDBPyConnection, source: Source, path: Path) -> list[str]:
    """Write the rows of a source's query, in their order; returns the names of its columns.

    Raises SourceError where it cannot be answered.
    """
    with (
        errors_of_source("the query"),
        reading_connection(con, source, "the query", _MEMORY_BYTES) as reading,
    ):
        scan = scan_of(reading, source, "the query")
        _write(reading, scan, list(scan.columns), path)
    return list(scan.columns)


def query_as_file(con: duckdb.DuckDBPyConnection, source: Source, folder: Path) -> Source:
    """The rows of a source's query as a Parquet file in ``folder``: a query may give other rows, or another
    order, the next time.

    Raises SourceError where the query cannot be answered, or has no such columns.
    """
    path = folder / "the query.parquet"
    pick_columns(source, write_query(con, source, path), "the query")
    return replace(source, query=None, paths=(str(path),), format="parquet")


def write_rows(stage: Stage, number: int, path: Path) -> str:
    """Write the rows of a file of a stage that parse, in their order, whatever the source's condition says.

    Returns the name of a column beside the file's own, which holds the number of each row, from 1; see
    :attr:`enc.store.stage.Stage.first_ids`.
    """
    scan = stage.scans[number]
    source = replace(stage.source, where=None)
    with (
        errors_of_source(scan.file, source),
        reading_connection(stage.con, source, scan.file, _MEMORY_BYTES) as reading,
    ):
        forget(reading)
        read = tolerant(reading, scan, Rejects()) if scan.is_tolerant else scan
        _write(reading, read, [*scan.columns, scan.number], path)
        forget(reading)
    return scan.number


def _write(con: duckdb.DuckDBPyConnection, scan: Scan, columns: list[str], path: Path) -> None:
    names = ", ".join(map(quoted, columns))
    rows = con.sql(f"SELECT {names} FROM ({scan.sql})").to_arrow_reader(_BATCH_ROWS)
    with pq.ParquetWriter(path, rows.schema, compression="lz4") as writer:
        for batch in rows:
            writer.write_batch(batch)
    rows.close()
