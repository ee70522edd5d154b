"""Whether what was read of a text file is all of it: every line is a row, or part of one, or a reject."""

from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import compute

from .lines import LINE_IS_EMPTY
from .plan import quoted
from .reading import REJECTS, Scan
from .text_file import Lines, lines_of

pc: Any = compute  # its functions are made when it is imported, and type checkers know only some of them
_BAD_LINES = pa.schema([("row", pa.int64()), ("line", pa.int64()), ("reason", pa.string())])


def may_be_read_by_duckdb(scan: Scan) -> bool:
    """Whether the line ends of a TSV or CSV file are such as DuckDB's reader takes."""
    facts = scan.facts
    # In CSV, other line ends may stand within quoted fields: the count will tell.
    return facts.newline is not None or (scan.format == "csv" and facts.has_quotes)


def bad_lines(con: duckdb.DuckDBPyConnection, scan: Scan, rows: int) -> pa.Table | None:
    """Lines of TSV or CSV that are no row: row and line (from 1), and reason, in the order of the file.

    ``rows`` have been read in this connection. Of a piece the numbers are those in the whole file. Returns
    None where rows and bad lines are not all lines.
    """
    bad = _bad_lines(con, scan, rows)
    if bad is None or not isinstance(scan.piece, Lines):
        return bad
    if not is_piece(scan, rows + bad.num_rows):
        return None
    before = (("row", scan.piece.first_row), ("line", scan.piece.first_line))
    for column, (name, some) in enumerate(before):
        bad = bad.set_column(column, name, pc.add(bad.column(name), some))
    return bad


def is_piece(scan: Scan, rows: int) -> bool:
    """Whether a piece of a text file has so many rows as the numbers of those behind it say."""
    return not isinstance(scan.piece, Lines) or scan.piece.is_last or rows == scan.piece.rows


def _bad_lines(con: duckdb.DuckDBPyConnection, scan: Scan, rows: int) -> pa.Table | None:
    facts = scan.facts
    lines = facts.lines - scan.header_lines
    bad = _listed(con, scan)
    if scan.format == "csv" and facts.has_quotes:
        # A row may be of several lines. DuckDB does not count these where it lists what is bad.
        is_all = not bad.num_rows and rows + _line_ends_in_fields(con, scan) == lines
        return bad if is_all else None
    if len(scan.columns) > 1:  # else a line with nothing on it is a row, of a null
        blank = facts.blank_lines[facts.blank_lines > scan.header_lines]
        reasons = pa.repeat(LINE_IS_EMPTY, len(blank))
        empty = pa.table([pa.array(blank - scan.header_lines), pa.array(blank), reasons], schema=_BAD_LINES)
        bad = pa.concat_tables([bad, empty]).sort_by("line")
        lines -= facts.blank_at_end
    return bad if rows + bad.num_rows == lines else None


def holds_all_lines(scan: Scan, rows: int) -> bool:
    """Whether so many rows are all lines of a JSON-lines file, but for lines with nothing on them."""
    facts = scan.facts
    if rows == facts.lines - len(facts.blank_lines) - facts.blank_at_end:
        return True
    return rows == sum(not line.isspace() for line in lines_of(scan.file))


def _listed(con: duckdb.DuckDBPyConnection, scan: Scan) -> pa.Table:
    """What DuckDB's reader has listed as bad, one row a line."""
    # DuckDB does not look into a file at all where a filter cannot hold, and then makes no table of errors.
    con.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {REJECTS}_errors "
        "(line UBIGINT, error_type VARCHAR, error_message VARCHAR)"
    )
    reason = (
        "CASE WHEN error_type = 'INVALID ENCODING' THEN 'invalid UTF-8' "
        "ELSE lower(error_type) || ' (' || error_message || ')' END"
    )
    table = con.sql(
        f"SELECT line::BIGINT - {scan.header_lines} AS row, line::BIGINT AS line, min({reason}) AS reason "
        f"FROM {REJECTS}_errors GROUP BY line ORDER BY line"
    ).to_arrow_table()
    return table.cast(_BAD_LINES)


def _line_ends_in_fields(con: duckdb.DuckDBPyConnection, scan: Scan) -> int:
    end = "chr(13)" if scan.facts.newline == "\r" else "chr(10)"
    text = f"concat({', '.join(quoted(column) for column in scan.columns)})"
    counted = (
        f"SELECT coalesce(sum(length({text}) - length(replace({text}, {end}, ''))), 0) FROM ({scan.sql})"
    )
    return int(con.sql(counted).fetchall()[0][0])
