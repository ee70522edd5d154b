"""A source, read once: its rows with keys in a DuckDB table, and the rows that cannot be used.

Every later question (how many, which are missing, which label) is asked of this table, so that all
answers agree, whatever the source is.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from . import plan
from .catalog import Store
from .duck import count, execute, first_line, is_out_of_space
from .errors import SourceError
from .files import replaced_file
from .source import Source, pick_text_column, require_column

# DuckDB reads a line that is not JSON as a row of nulls.
_NULL_REASONS = {"jsonl": "text is null, or the line is not JSON"}


@dataclass(frozen=True)
class Stage:
    """A staged source: table ``name`` (source, row, key, text, pair, label, reason) in a workspace."""

    con: duckdb.DuckDBPyConnection
    name: str
    source: Source
    text_column: str
    pair_column: str | None
    label_columns: tuple[str, ...]
    """Columns of the label; of several, or of a list, ``label`` is a JSON list of texts."""
    label_type: str | None
    """DuckDB type of the label column, if it is one; text formats have none, so theirs is VARCHAR."""
    typed: bool
    """Whether the source's format has types at all (Parquet, JSON lines, queries)."""
    rows: int
    """Rows read, rejected ones included."""
    rejected: int

    def write_rejects(self, path: Path) -> Path | None:
        """Write source, row (from 1) and reason of the rejected rows to a Parquet file, if there are any."""
        if not self.rejected:
            return None
        with replaced_file(path) as part:
            self.con.execute(
                f"COPY (SELECT f.name AS source, r.row, r.reason FROM {self.name}_rejects r "
                f"JOIN {self.name}_files f ON f.id = r.source ORDER BY r.source, r.row) "
                f"TO {plan.literal(str(part))} (FORMAT parquet)"
            )
        return path

    def reasons(self) -> dict[str, int]:
        """Rejected rows by reason, the most frequent first; line numbers are left out of the reasons."""
        kind = "regexp_replace(reason, '^line \\d+ is malformed', 'malformed line')"
        return dict(
            self.con.sql(
                f"SELECT {kind}, count(*) FROM {self.name}_rejects GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
        )

    def first_reject(self) -> str:
        """Where the first rejected row is and why: ``file, row 3: text is empty``."""
        rows = self.con.sql(
            f"SELECT f.name, r.row, r.reason FROM {self.name}_rejects r JOIN {self.name}_files f "
            "ON f.id = r.source "
            "ORDER BY r.source, r.row LIMIT 1"
        ).fetchall()
        return "".join(f"{file}, row {row}: {reason}" for file, row, reason in rows)


def rejects_path(store: Store | str | Path, name: str) -> Path:
    """A new file for a run's rejects, beside the store."""
    store = Path(store)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return store.with_name(f"{store.name}.rejects") / f"{name}-{stamp}-{uuid.uuid4().hex[:6]}.parquet"


def stage_source(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    name: str = "stage",
    *,
    label_column: str | Sequence[str] | None = None,
    keep_text: bool = True,
) -> Stage:
    """Read a source into table ``name``; texts are kept only where they will be encoded.

    The label may stand in one column, of any type, or in several: see :func:`store.plan.label_sql`.

    Raises SourceError for a file, column, filter or query that cannot be read.
    """
    con.execute(
        f"CREATE TABLE {name} (source INTEGER, row BIGINT, key BLOB, text VARCHAR, "
        "pair VARCHAR, label VARCHAR, reason VARCHAR);"
        f"CREATE TABLE {name}_rejects (source INTEGER, row BIGINT, reason VARCHAR);"
        f"CREATE TABLE {name}_files (id INTEGER, name VARCHAR)"
    )
    files = ["the query"] if source.query else source.files()
    labels = (label_column,) if isinstance(label_column, str) else tuple(label_column or ())
    text, label_type, typed = "", None, bool(source.query)
    for number, file in enumerate(files):
        con.execute(f"INSERT INTO {name}_files VALUES (?, ?)", [number, file])
        typed = typed or source.format_of(file) in ("parquet", "jsonl")
        try:
            text, label_type = _stage_file(
                con, name, number, file, source, labels=labels, keep_text=keep_text
            )
        except duckdb.Error as error:
            if is_out_of_space(error):
                raise
            raise SourceError(f"{file} cannot be read: {first_line(error)}") from error
    rejected, usable = count(con, f"{name}_rejects"), count(con, f"{name} WHERE key IS NOT NULL")
    return Stage(
        con, name, source, text, source.pair_column, labels, label_type, typed, usable + rejected, rejected
    )


def source_columns(con: duckdb.DuckDBPyConnection, source: Source) -> dict[str, str]:
    """The columns of a source, of its first file, with their DuckDB types; VARCHAR in TSV and CSV."""
    file = "" if source.query else source.files()[0]
    scan = (
        plan.query_sql(source.query)
        if source.query
        else plan.scan_sql(file, source.format_of(file), "enc", source.columns)
    )
    con.execute("DROP TABLE IF EXISTS enc_errors; DROP TABLE IF EXISTS enc_scans")
    try:
        types = {row[0]: row[1] for row in execute(con, f"DESCRIBE {scan}")}
    except duckdb.Error as error:
        raise SourceError(f"{source.title} cannot be read: {first_line(error)}") from error
    return {name: kind for name, kind in types.items() if name != "enc_row"}


def _stage_file(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    number: int,
    file: str,
    source: Source,
    *,
    labels: Sequence[str],
    keep_text: bool,
) -> tuple[str, str | None]:
    """Stage one file; returns its text column and the type of its label column."""
    con.execute("DROP TABLE IF EXISTS enc_errors; DROP TABLE IF EXISTS enc_scans")
    format = None if source.query else source.format_of(file)
    scan = (
        plan.scan_sql(file, format, "enc", source.columns) if format else plan.query_sql(source.query or "")
    )
    types: dict[str, str] = {row[0]: row[1] for row in execute(con, f"DESCRIBE {scan}")}
    columns = [c for c in types if c != "enc_row"]
    text = pick_text_column(source.text_column, columns, file)
    used = [text]
    if source.pair_column is not None:
        used.append(require_column(source.pair_column, columns, file, "--pair-column"))
    for column in labels:
        require_column(column, columns, file, "--label-column")
    label_type = types[labels[0]] if len(labels) == 1 else None
    label = plan.label_sql(labels, is_list=bool(label_type and label_type.endswith("[]"))) if labels else None

    def insert(scan: str, blobs: list[str]) -> None:
        rows = plan.rows_sql(
            scan,
            used,
            label,
            blobs,
            source.where,
            null_reason=_NULL_REASONS.get(format or "", "text is null"),
        )
        execute(
            con,
            f"INSERT INTO {stage} {plan.keyed_sql(rows, number, paired=len(used) > 1, keep_text=keep_text)}",
        )

    blobs = [c for c in used if types[c] == "BLOB"]
    try:
        insert(scan, blobs)
    except duckdb.InvalidInputException as error:
        if format != "parquet" or "encoding" not in str(error):
            raise
        # DuckDB refuses a Parquet file for one bad string. Arrow does not look; then we decode row by row.
        strings = [
            f.name
            for f in pq.read_schema(file)
            if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        con.register("enc_binary", _strings_as_binary(file, strings))
        insert(plan.query_sql("FROM enc_binary"), [*strings, *(b for b in blobs if b not in strings)])
        con.unregister("enc_binary")
    con.execute(
        f"INSERT INTO {stage}_rejects SELECT source, row, reason FROM {stage} WHERE source = {number} "
        "AND reason IS NOT NULL"
    )
    if format in ("tsv", "csv"):
        _add_malformed(con, stage, number, header_lines=0 if source.columns else 1)
    return text, label_type


def _strings_as_binary(file: str, strings: list[str]) -> ds.Dataset:
    schema = pq.read_schema(file)
    for name in strings:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.large_binary()))
    return ds.dataset(file, schema=schema, format="parquet")


def _add_malformed(con: duckdb.DuckDBPyConnection, stage: str, number: int, *, header_lines: int) -> None:
    """Add malformed lines to the rejects, and count them into the row numbers of the rejects after them."""
    # DuckDB does not look into a file at all where the filter cannot hold, and then makes no table of errors.
    con.execute(
        "CREATE TEMP TABLE IF NOT EXISTS enc_errors (line UBIGINT, error_type VARCHAR, error_message VARCHAR)"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE enc_malformed AS SELECT line, line - {header_lines} - nth "
        "AS parsed_before, nth, reason "
        "FROM ("
        "SELECT line, row_number() OVER (ORDER BY line) AS nth, min(CASE WHEN error_type "
        "= 'INVALID ENCODING' THEN 'invalid UTF-8' "
        "ELSE 'line ' || line || ' is malformed: ' || lower(error_type) || ' (' || error_message "
        "|| ')' END) AS reason "
        "FROM enc_errors GROUP BY line)"
    )
    con.execute(
        f"UPDATE {stage}_rejects SET row = moved.row FROM (SELECT r.rowid AS id, r.row + m.nth AS row "
        f"FROM {stage}_rejects r "
        "ASOF JOIN "
        "(SELECT parsed_before, max(nth) AS nth FROM enc_malformed GROUP BY 1) m ON r.row > m.parsed_before "
        f"WHERE r.source = {number}) moved WHERE {stage}_rejects.rowid = moved.id"
    )
    con.execute(
        f"INSERT INTO {stage}_rejects SELECT {number}, line - {header_lines}, reason "
        "FROM enc_malformed; DROP TABLE enc_malformed"
    )
