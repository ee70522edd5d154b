"""How one file of a source, or its query, is read: columns, types, and SQL that gives its rows."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from .confined import require_select
from .errors import SourceError
from .file_kind import require_no_parquet, require_parquet
from .lines import INVALID_UTF8, Rejects, header, records
from .plan import quoted
from .row_groups import RowGroups
from .scan import (
    delimited_sql,
    is_nested,
    json_objects_sql,
    json_sql,
    numbered_parquet_sql,
    numbered_sql,
    parquet_sql,
    unused_name,
)
from .source import Source
from .text_file import Lines, TextFile, conversion, examine, opened

REJECTS = "enc"  # prefix of the tables in which DuckDB lists lines that do not parse
_RECORDS = "enc_records"
_READ_AS_TEXT = ("DATE", "TIME", "TIMESTAMP", "UUID", "INTERVAL")


@dataclass(frozen=True)
class Scan:
    """SQL of a file's rows, and what is known of the file."""

    sql: str
    number: str
    """Column of ``sql`` with the number of each row, from 1; no column of the user has this name."""
    columns: Mapping[str, str]
    """DuckDB types of the user's columns by name."""
    file: str = ""
    format: str | None = None
    """None for a query."""
    header_lines: int = 0
    text_file: TextFile | None = None
    """Facts of a file of lines."""
    is_tolerant: bool = False
    """Whether our own reader had to read it: DuckDB's did not account for every line."""
    piece: RowGroups | Lines | None = None
    """What is read of the file, where not all of it is."""

    @property
    def is_delimited(self) -> bool:
        """Whether the file is TSV or CSV."""
        return self.format in ("tsv", "csv")

    @property
    def counts_lines(self) -> bool:
        """Whether every line of the file is to be a row."""
        return self.format == "jsonl" and not self.facts.is_array

    @property
    def facts(self) -> TextFile:
        """Facts of a file of lines; ValueError for others."""
        if self.text_file is None:
            raise ValueError(f"{self.file} is no text file")
        return self.text_file


def scan_of(
    con: duckdb.DuckDBPyConnection, source: Source, file: str, piece: RowGroups | Lines | None = None
) -> Scan:
    """How to read a file, a piece of it (:func:`enc.store.stage.stage_source`), or the source's query.

    Raises SourceError, or an error of DuckDB's.
    """
    if source.query:
        query = require_select(source.query)
        columns = _described(con, f"FROM (\n{query}\n)")
        number = unused_name(columns, "enc row")
        return Scan(numbered_sql(query, number), number, columns, file)
    format = source.format_of(file)
    if format == "parquet":
        require_parquet(file)
        columns = _described(con, parquet_sql(file))
        number = unused_name(columns, "enc row")
        groups = piece if isinstance(piece, RowGroups) else None
        sql = numbered_parquet_sql(file, columns, number, groups)
        return Scan(sql, number, columns, file, format, piece=groups)
    if isinstance(piece, Lines):
        return _lines(file, format, piece)
    require_no_parquet(file)
    return _json(con, file) if format == "jsonl" else _delimited(file, format, source)


def with_text_columns(scan: Scan, used: Sequence[str]) -> Scan:
    """The scan for texts in these columns. Raises SourceError where one holds lists or structs.

    In JSON lines their values are then read as they are written, whatever type they look like.
    """
    for name in used:
        if is_nested(scan.columns[name]):
            raise SourceError(
                f"column '{name}' of {scan.file} holds values of type {scan.columns[name]}, not texts; "
                "name another column, or make a text of it with --query"
            )
    if scan.format != "jsonl":
        return scan
    texts = {name: "VARCHAR" for name in used if scan.columns[name] != "JSON"}
    columns = {**scan.columns, **texts}
    before = scan.piece.first_row if scan.piece else 0
    sql = _json_rows(scan.file, scan.facts, columns, scan.number, before)
    return replace(scan, sql=sql, columns=columns)


def tolerant(con: duckdb.DuckDBPyConnection, scan: Scan, rejects: Rejects) -> Scan:
    """The scan of a TSV or CSV file by our own reader, which adds bad lines to ``rejects``.

    It is good for one use.
    """
    names = list(scan.columns)
    batches = records(
        scan.file,
        scan.format or "",
        names,
        scan.number,
        newline=scan.facts.newline,
        header_lines=scan.header_lines,
        rejects=rejects,
    )
    schema = pa.schema([(name, pa.large_string()) for name in names] + [(scan.number, pa.int64())])
    con.register(_RECORDS, pa.RecordBatchReader.from_batches(schema, batches))
    return replace(scan, sql=f"FROM {_RECORDS}")


def strings_as_binary(con: duckdb.DuckDBPyConnection, scan: Scan) -> tuple[Scan, list[str]]:
    """The scan of a Parquet file with its strings as bytes, and their columns.

    DuckDB refuses a Parquet file for one string that is not UTF-8. Arrow does not look.
    """
    import pyarrow.dataset as ds  # few files need it

    schema = pq.read_schema(scan.file)
    strings = [field.name for field in schema if _is_string(field.type)]
    for name in strings:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.large_binary()))
    records, before = ds.dataset(scan.file, schema=schema, format="parquet", partitioning=None), 0
    if isinstance(scan.piece, RowGroups):
        some = [one.subset(row_group_ids=list(scan.piece.numbers)) for one in records.get_fragments()]
        records = ds.FileSystemDataset(some, schema, records.format, records.filesystem)
        before = scan.piece.first_row
    con.register(_RECORDS, records)
    return replace(scan, sql=numbered_sql(f"FROM {_RECORDS}", scan.number, before)), strings


def fingerprint_of_file(file: str) -> tuple[int, int, int]:
    """What changes when a file is replaced or written to: size, time of change in ns, and inode."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ino


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Remove what a scan has left in a connection."""
    con.execute(f"DROP TABLE IF EXISTS {REJECTS}_errors; DROP TABLE IF EXISTS {REJECTS}_scans")
    con.unregister(_RECORDS)


def _described(con: duckdb.DuckDBPyConnection, scan: str) -> dict[str, str]:
    return {row[0]: row[1] for row in con.execute(f"DESCRIBE {scan}").fetchall()}


def _delimited(file: str, format: str, source: Source) -> Scan:
    facts, header_lines = examine(file), 0
    if not facts.lines:
        raise SourceError(f"{file} is empty: there is no header line")
    columns = list(source.columns)
    if not columns:
        found, header_lines = header(file, format, facts.newline)
        if isinstance(found, str):
            way_out = (
                f"; is it GB18030? convert it: {conversion('GB18030', file)}" if found == INVALID_UTF8 else ""
            )
            raise SourceError(f"the first line of {file} cannot be read: {found}{way_out}")
        if not source.has_header:
            found, header_lines = [""] * len(found), 0
        for position, name in enumerate(found):
            columns.append(unused_name(columns, name or f"column{position}"))
    # Line feeds end rows where carriage returns may stand in quoted fields.
    newline = facts.newline or ("\r\n" if _header_ends_with_return(file) else "\n")
    number = unused_name(columns, "enc row")
    scan = delimited_sql(
        file,
        format,
        columns,
        header=header_lines > 0,
        newline=newline,
        longest=facts.longest,
        rejects=REJECTS,
    )
    types = dict.fromkeys(columns, "VARCHAR")
    return Scan(numbered_sql(scan, number), number, types, file, format, header_lines, facts)


def _lines(file: str, format: str, lines: Lines) -> Scan:
    """How to read a copy of lines of a file, without its header."""
    facts = lines.facts(examine(file))
    number = unused_name(lines.columns, "enc row")
    if format == "jsonl":
        sql = _json_rows(file, facts, lines.columns, number, lines.first_row)
    else:
        scan = delimited_sql(
            file,
            format,
            list(lines.columns),
            header=False,
            newline=lines.newline,
            longest=lines.longest,
            rejects=REJECTS,
        )
        sql = numbered_sql(scan, number, lines.first_row)
    return Scan(sql, number, lines.columns, file, format, 0, facts, piece=lines)


def _header_ends_with_return(file: str) -> bool:
    with opened(file) as stream:
        return stream.read(1 << 16).partition(b"\n")[0].endswith(b"\r")


def _json(con: duckdb.DuckDBPyConnection, file: str) -> Scan:
    facts = examine(file)
    if facts.has_mark:
        raise SourceError(
            f"{file} begins with a byte-order mark, which JSON must not have; remove its first three bytes: "
            f"tail -c +4 {file} > without-mark.jsonl"
        )
    columns = _described(con, json_sql(file, array=facts.is_array, longest=facts.longest))
    if columns == {"json": "JSON"} and not facts.is_array:
        # One line that is no object makes DuckDB take all lines for values of one column.
        columns = _columns_of_objects(con, file, facts.longest)
    for name, kind in columns.items():
        if kind.startswith(_READ_AS_TEXT) or kind == '"NULL"':
            columns[name] = "VARCHAR"  # the text of the value, as it is written
    number = unused_name(columns, "enc row")
    scan = Scan("", number, columns, file, "jsonl", 0, facts)
    return replace(scan, sql=_json_rows(file, facts, columns, number))


def _columns_of_objects(con: duckdb.DuckDBPyConnection, file: str, longest: int) -> dict[str, str]:
    found = con.execute(json_objects_sql(file, longest)).fetchall()[0][0]
    columns = json.loads(found) if found else {}
    if not columns:
        raise SourceError(
            f'{file} has no line with a JSON object such as {{"text": "…"}}; '
            "JSON lines are one object on each line"
        )
    return {name: _type_of_structure(kind) for name, kind in columns.items()}


def _type_of_structure(kind: object) -> str:
    """The type of a column, of what DuckDB's json_structure says of its values."""
    if isinstance(kind, list):
        return f"{_type_of_structure(kind[0])}[]"
    if isinstance(kind, dict):
        fields = (f"{quoted(name)} {_type_of_structure(field)}" for name, field in kind.items())
        return f"STRUCT({', '.join(fields)})"
    return "VARCHAR" if kind == "NULL" else str(kind)


def _json_rows(file: str, facts: TextFile, columns: Mapping[str, str], number: str, before: int = 0) -> str:
    scan = json_sql(file, array=facts.is_array, longest=facts.longest, columns=columns)
    return numbered_sql(scan, number, before)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
