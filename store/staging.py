"""Reading one file of a source, or its query, into a stage."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from .duck import count, first_line, with_memory
from .errors import SourceError
from .key_ranges import keys_of_hex
from .line_counts import bad_lines, holds_all_lines, is_piece, may_be_read_by_duckdb
from .lines import INVALID_UTF8, LINE_IS_EMPTY, Rejects
from .page_sizes import require_all_rows, require_small_pages
from .plan import literal
from .prefetch import prefetched
from .reading import (
    Scan,
    fingerprint_of_file,
    forget,
    scan_of,
    strings_as_binary,
    tolerant,
    with_text_columns,
)
from .row_groups import RowGroups
from .scan import FILTERED, keyed_sql, label_sql, rows_sql
from .share import WHOLE, Share
from .source import Source, pick_columns, require_column
from .source_connection import errors_of_source, reading_connection
from .text_file import Lines

_STREAM = "enc_stream"
_STREAM_ROWS = 8192
_KEYS_ROWS = 1 << 16  # at a time, where texts do not come with them
_AHEAD = 4  # batches that are hashed while the one who asks for them does something else
_NUMBERED_STREAM = f"SELECT row, row_number() OVER (ORDER BY row) AS nth FROM {_STREAM}"
_REASON = (
    f"CASE WHEN reason IN ({literal(INVALID_UTF8)}, {literal(LINE_IS_EMPTY)}) THEN reason "
    "ELSE 'line ' || line || ' is malformed: ' || reason END"
)


@dataclass(frozen=True)
class Staging:
    """One file on its way into the tables of a stage."""

    con: duckdb.DuckDBPyConnection
    stage: str
    number: int
    """Of the file among those of the source."""
    file: str
    source: Source
    label_columns: Sequence[str]
    keep_text: bool
    first_id: int
    """Of the file's rows; the others have the numbers behind it."""
    pick: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    """Is given the rows (id, source, row, key, text, pair, label, reason) many at a time, in their order, and
    returns those that go into the table; all do without it. It may be given rows again from the first one on.
    """
    share: Share = WHOLE
    """Of the texts: rows of other shares are left out."""
    piece: RowGroups | Lines | None = None
    """Row groups of a Parquet file, which alone are read, or the lines that the file is a copy of; the rows
    have the numbers that they have in the whole file.
    """

    @property
    def _groups(self) -> RowGroups | None:
        return self.piece if isinstance(self.piece, RowGroups) else None

    def run(self) -> Scan:
        """Read the file; returns how it was read. Raises SourceError if it cannot be, or not all of it."""
        with errors_of_source(self.file, self.source):
            before = None if self.source.query else fingerprint_of_file(self.file)
            if before and self.source.format_of(self.file) == "parquet":
                require_small_pages(self.file, self._groups.numbers if self._groups else None)
            scan = with_memory(self.con, self._attempt)
            if before and before != fingerprint_of_file(self.file):
                raise SourceError(
                    f"{self.file} changed while it was read; run this again when it is complete"
                )
        return scan

    def _attempt(self, memory_bytes: int) -> Scan:
        for table in (self.stage, f"{self.stage}_rejects"):
            self.con.execute(f"DELETE FROM {table} WHERE source = {self.number}")
        with (
            reading_connection(self.con, self.source, self.file, memory_bytes) as given,
            self._beside_writing(given) as reading,
        ):
            forget(reading)
            scan = scan_of(reading, self.source, self.file, self.piece)
            scan = with_text_columns(scan, self._text_columns(scan))
            scan = replace(scan, is_tolerant=self._read(reading, scan))
        forget(self.con)
        self.con.execute(f"DELETE FROM {self.stage} WHERE source = {self.number} AND reason = ?", [FILTERED])
        self._require_keys()
        self.con.execute(
            f"INSERT INTO {self.stage}_rejects SELECT source, row, reason FROM {self.stage} "
            f"WHERE source = {self.number} AND reason IS NOT NULL"
        )
        if not self.share.is_first:  # the lines that do not parse
            self.con.execute(f"DELETE FROM {self.stage}_rejects WHERE source = {self.number}")
        return scan

    def _require_keys(self) -> None:
        """Raise SourceError for rows with neither a key nor a reason: DuckDB believes what a damaged Parquet
        file says of its nulls.
        """
        lost = count(
            self.con, f"{self.stage} WHERE source = {self.number} AND key IS NULL AND reason IS NULL"
        )
        if lost:
            raise SourceError(
                f"{self.file} is damaged: {lost:,} rows have no text where it says that they have one; "
                "write it again"
            )

    @contextmanager
    def _beside_writing(self, reading: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection to read in: not that of the table, where the table is written to meanwhile."""
        if self.pick is None or reading is not self.con:
            yield reading
        else:
            with self.con.cursor() as cursor:
                yield cursor

    def _read(self, reading: duckdb.DuckDBPyConnection, scan: Scan) -> bool:
        """Returns whether our own reader had to read it."""
        if scan.is_delimited:
            return self._read_lines(reading, scan)
        blobs = [column for column in self._text_columns(scan) if scan.columns[column] == "BLOB"]
        try:
            self._insert(reading, scan, blobs)
        except duckdb.InvalidInputException as error:
            if scan.format != "parquet" or "encoding" not in str(error):
                raise
            binary, strings = strings_as_binary(reading, scan)
            self._insert(reading, binary, [*strings, *(blob for blob in blobs if blob not in strings)])
        if scan.format == "parquet" and self.pick is None and not (self.source.where or self.source.query):
            require_all_rows(self.file, self._count(), self._groups.rows if self._groups else None)
        if scan.counts_lines and not holds_all_lines(scan, self._count()):
            raise SourceError(
                f"{self.file} has {scan.facts.lines:,} lines, but {self._count():,} rows were found in it; "
                "is it JSON lines, one object on each line?"
            )
        if scan.counts_lines and not is_piece(scan, self._count()):
            raise self._not_alone()
        return False

    def _read_lines(self, reading: duckdb.DuckDBPyConnection, scan: Scan) -> bool:
        """Read TSV or CSV by DuckDB and, where that does not account for every line, by our own reader."""
        if may_be_read_by_duckdb(scan):
            try:
                self._insert(reading, scan, ())
                bad = bad_lines(reading, scan, self._count())
            except duckdb.InvalidInputException as error:
                if "CSV" not in str(error):
                    raise
                bad = None
            if bad is not None:
                self._add_bad_lines(bad)
                return False
            self.con.execute(f"DELETE FROM {self.stage} WHERE source = {self.number}")
        if isinstance(self.piece, Lines):
            raise self._not_alone()
        rejects = Rejects()
        self._insert(reading, tolerant(reading, scan, rejects), ())
        self._insert_arrow(f"{self.stage}_rejects", f"{self.number}, row, {_REASON}", rejects.table())
        return True

    def _insert(self, reading: duckdb.DuckDBPyConnection, scan: Scan, blobs: Sequence[str]) -> None:
        texts = {column: scan.columns[column] for column in self._text_columns(scan)}
        labels = {column: scan.columns[column] for column in self.label_columns}
        rows = rows_sql(
            scan.sql,
            scan.number,
            scan.columns,
            texts,
            label_sql(labels) if labels else None,
            blobs,
            self.source.where,
            keep_filtered=scan.is_delimited or scan.counts_lines,
            null_rows_are_bad=scan.format == "jsonl",  # DuckDB reads what is not JSON as nulls
            each_text=self.source.is_separate,
        )
        keyed = keyed_sql(
            rows,
            self.number,
            self.first_id,
            paired=len(texts) > 1,
            keep_text=self.keep_text,
            share=WHOLE if self.source.is_separate else self.share,  # their texts are divided
            hex_keys=self.pick is not None,
        )
        if reading is self.con:
            self.con.execute(f"INSERT INTO {self.stage} {keyed}")
            return
        if self.pick is not None:
            self._insert_picked(reading, keyed, self.pick)
            return
        rows_read = reading.sql(keyed).to_arrow_reader(_STREAM_ROWS)
        try:
            self._insert_arrow(self.stage, "*", rows_read)
        except duckdb.InvalidInputException as error:
            if "Out of Memory Error" in str(error):  # in the other connection
                raise duckdb.OutOfMemoryException(first_line(error)) from error
            raise
        finally:
            rows_read.close()  # else nothing else can be asked of that connection

    def _insert_picked(
        self,
        reading: duckdb.DuckDBPyConnection,
        keyed: str,
        pick: Callable[[pa.RecordBatch], pa.RecordBatch],
    ) -> None:
        self.con.execute(
            f"DELETE FROM {self.stage} WHERE source = {self.number}"
        )  # of an attempt that failed
        batch_rows = _STREAM_ROWS if self.keep_text else _KEYS_ROWS
        rows_read = reading.sql(keyed).to_arrow_reader(batch_rows)
        try:
            # DuckDB works only while it is asked for rows, and so another thread asks.
            with closing(prefetched(_keyed(rows_read), "enc-hash", ahead=_AHEAD)) as batches:
                for batch in batches:
                    picked = pick(batch)
                    if picked.num_rows:
                        self._insert_arrow(self.stage, "*", pa.Table.from_batches([picked]))
        finally:
            rows_read.close()

    def _insert_arrow(self, table: str, columns: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        self.con.register(_STREAM, rows)
        try:
            self.con.execute(f"INSERT INTO {table} SELECT {columns} FROM {_STREAM}")
        finally:
            self.con.unregister(_STREAM)

    def _add_bad_lines(self, bad: pa.Table) -> None:
        """Add lines to the rejects, and count them into the numbers of the rows behind them."""
        if not bad.num_rows:
            return
        self._insert_arrow(f"{self.stage}_rejects", f"{self.number}, row, {_REASON}", bad)
        self.con.register(_STREAM, bad)
        # The nth bad line has row - n good rows before it.
        before = f"SELECT row - nth AS rows, max(nth) AS nth FROM ({_NUMBERED_STREAM}) GROUP BY 1"
        moved = (
            f"SELECT s.rowid AS id, s.row + b.nth AS row FROM {self.stage} s "
            f"ASOF JOIN ({before}) b ON s.row > b.rows WHERE s.source = {self.number}"
        )
        try:
            self.con.execute(
                f"UPDATE {self.stage} SET row = moved.row FROM ({moved}) moved "
                f"WHERE {self.stage}.rowid = moved.id"
            )
        finally:
            self.con.unregister(_STREAM)

    def _not_alone(self) -> SourceError:
        return SourceError(f"a piece of {self.file} cannot be read apart from the file")

    def _count(self) -> int:
        return count(self.con, f"{self.stage} WHERE source = {self.number}")

    def _text_columns(self, scan: Scan) -> list[str]:
        for column in self.label_columns:
            require_column(column, self.source, list(scan.columns), self.file, "--label-column")
        text, pair = pick_columns(self.source, list(scan.columns), self.file)
        return [text] if pair is None else [text, pair]


def _keyed(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The rows of a query with hexadecimal keys, as rows with keys.

    What Arrow says of DuckDB's errors is raised as DuckDB's errors.
    """
    column = rows.schema.get_field_index("key")
    try:
        for batch in rows:
            yield batch.set_column(column, "key", keys_of_hex(batch.column(column)))
    except (pa.ArrowException, OSError) as error:
        said = str(error)
        kind = duckdb.InvalidInputException
        if "Out of Memory Error" in said:
            kind = duckdb.OutOfMemoryException
        raise kind(said) from error
