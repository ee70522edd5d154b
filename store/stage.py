"""A source, read once: its rows with keys in a DuckDB table, and the rows that cannot be used.

Every later question (how many, which are missing, which label) is asked of this table, so that all
answers agree, whatever the source is.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import duckdb
import numpy as np
import pyarrow as pa

from . import plan
from .catalog import Store
from .confined import require_condition
from .duck import count
from .files import replaced_file
from .places import Place, place_of
from .progress import tell
from .reading import Scan, scan_of
from .row_groups import RowGroups
from .share import WHOLE, Share
from .source import Source, pick_columns
from .source_connection import errors_of_source, reading_connection
from .staging import Staging
from .text_file import Lines

_READ_ROWS = 1 << 17


class StagedTexts(Protocol):
    """Texts in a table ``name`` (id, key, text, pair), in the order of their ids."""

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection that has the table."""
        ...

    @property
    def name(self) -> str:
        """Of the table."""
        ...

    @property
    def pair_column(self) -> str | None:
        """The column that the second texts came from; None for single texts."""
        ...


@dataclass(frozen=True)
class Stage:
    """A staged source: table ``name`` (id, source, row, key, text, pair, label, reason) in a workspace.

    ``id`` numbers the rows of all files from 0 on, and the table is in its order; there are gaps where rows
    were left out. ``source`` is the file, ``row`` the row in it, from 1.
    """

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
    ids: int
    """All ids are below this number."""
    has_texts: bool
    """Whether the columns ``text`` and ``pair`` are filled."""
    scans: tuple[Scan, ...]
    """How each file was read."""
    first_ids: tuple[int, ...]
    """Of each file: the id of its row n is this number + n - 1, where n counts the rows that parse."""
    seen: np.ndarray | None = None
    """bool [ids]: which rows were read, where the table has only those of them that cannot be used."""
    share: Share = WHOLE
    """Of the texts. The table has all pairs that are encoded apart: their two texts may be in two shares."""

    def name_file(self, number: int, name: str) -> None:
        """Call a file of the stage otherwise from now on, in rejects and messages."""
        self.con.execute(f"UPDATE {self.name}_files SET name = ? WHERE id = ?", [name, number])

    def kept_ids(self) -> np.ndarray:
        """bool [ids]: whether the row of an id is in the stage; the condition may have left it out."""
        if self.seen is not None:
            return self.seen
        kept = np.zeros(self.ids, np.bool_)
        with self.con.cursor() as cursor:
            for batch in cursor.sql(f"SELECT id FROM {self.name}").to_arrow_reader(_READ_ROWS):
                kept[batch.column(0).to_numpy()] = True
        return kept

    def write_rejects(self, path: Place) -> Place | None:
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
            f"SELECT f.name, r.row, r.reason FROM {self.name}_rejects r "
            f"JOIN {self.name}_files f ON f.id = r.source ORDER BY r.source, r.row LIMIT 1"
        ).fetchall()
        return "".join(f"{file}, row {row}: {reason}" for file, row, reason in rows)

    def rows_where(self, condition: str) -> np.ndarray:
        """Whether each row is usable and a SQL condition holds for it, bool [ids], by the row's id."""
        holds = np.zeros(self.ids, np.bool_)
        with self.con.cursor() as cursor:
            for batch in cursor.sql(plan.rows_sql(self.name, "id", condition)).to_arrow_reader(1 << 16):
                holds[batch.column(0).to_numpy()] = True
        return holds

    def labelled_rows(self) -> pa.Table:
        """``source`` (the file's name) and ``row`` of the usable rows with a label, in the source's order."""
        names = self.con.sql(f"SELECT name FROM {self.name}_files ORDER BY id").fetchall()
        files = pa.array([name for (name,) in names], pa.string())
        table = self.con.sql(plan.rows_sql(self.name, "source, row", "label IS NOT NULL")).to_arrow_table()
        columns = [
            pa.DictionaryArray.from_arrays(chunk, files) for chunk in table.column("source").iterchunks()
        ]
        source = pa.chunked_array(columns, pa.dictionary(pa.int32(), pa.string()))
        return pa.table({"source": source, "row": table.column("row")})


@dataclass(frozen=True)
class Picking:
    """Which rows of Parquet files go into the table of a stage, and what their ids are."""

    first_ids: tuple[int, ...]
    """As of the Stage."""
    ids: int
    pick: Callable[[pa.RecordBatch], pa.RecordBatch]
    """See :class:`enc.store.staging.Staging`."""


def rejects_path(store: Store | str | Place, name: str) -> Place:
    """A new file for a run's rejects, beside the store."""
    place = store.path if isinstance(store, Store) else place_of(store)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return place.with_name(f"{place.name}.rejects") / f"{name}-{stamp}-{uuid.uuid4().hex[:6]}.parquet"


def stage_source(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    name: str = "stage",
    *,
    label_column: str | Sequence[str] | None = None,
    keep_text: bool = True,
    picking: Picking | None = None,
    share: Share = WHOLE,
    piece: RowGroups | Lines | None = None,
) -> Stage:
    """Read a source, or a share of it, into table ``name``; texts are kept only where they will be encoded.

    The texts of pairs that are encoded apart are always kept: their keys are made of them.

    The label may stand in one column, of any type, or in several: see :func:`enc.store.scan.label_sql`. A
    source of Parquet files may be read with ``picking``: the table then has only some of the rows. Where the
    source is one file, a ``piece`` of it may be read alone: row groups of a Parquet file, or lines of a text
    file, of which the source's file is then a copy. It may be refused for what the whole file is taken with.

    Raises SourceError for a file, column, filter or query that cannot be read, for a file whose rows and
    rejects are not all of its lines, and for one that changes while it is read.
    """
    if source.where:
        require_condition(source.where)
    create_tables(con, name)
    tell("reading", 0)
    files = ["the query"] if source.query else source.files()
    labels = (label_column,) if isinstance(label_column, str) else tuple(label_column or ())
    keep_text = keep_text or source.is_separate
    label_type, typed, ids = None, bool(source.query), 0
    scans: list[Scan] = []
    first_ids: list[int] = []
    for number, file in enumerate(files):
        con.execute(f"INSERT INTO {name}_files VALUES (?, ?)", [number, file])
        typed = typed or source.format_of(file) in ("parquet", "jsonl")
        first_ids.append(picking.first_ids[number] if picking else ids)
        pick = picking.pick if picking else None
        staging = Staging(
            con, name, number, file, source, labels, keep_text, first_ids[-1], pick, share, piece
        )
        scans.append(staging.run())
        ids = con.sql(f"SELECT coalesce(max(id) + 1, {ids}) FROM {name} WHERE id >= {ids}").fetchall()[0][0]
        tell("reading", ids)
        label_type = scans[-1].columns[labels[0]] if len(labels) == 1 else None
    text, pair = pick_columns(source, list(scans[-1].columns) if scans else [], files[-1])
    rejected = count(con, f"{name}_rejects")
    usable = count(con, f"{name} WHERE key IS NOT NULL AND {share.holds_sql('key')}")
    rows = usable + rejected
    tell("reading", max(rows, 1), max(rows, 1))
    return Stage(
        con, name, source, text, pair, labels, label_type, typed, rows, rejected,
        picking.ids if picking else ids, keep_text,
        tuple(scans), tuple(first_ids), share=share,
    )  # fmt: skip


def create_tables(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make the tables of a stage: its rows, its rejects, and the names of its files."""
    con.execute(
        f"CREATE TABLE {name} (id BIGINT, source INTEGER, row BIGINT, key BLOB, text VARCHAR, pair VARCHAR, "
        "label VARCHAR, reason VARCHAR);"
        f"CREATE TABLE {name}_rejects (source INTEGER, row BIGINT, reason VARCHAR);"
        f"CREATE TABLE {name}_files (id INTEGER, name VARCHAR)"
    )


def source_columns(con: duckdb.DuckDBPyConnection, source: Source) -> dict[str, str]:
    """The columns of a source, of its first file, with their DuckDB types; VARCHAR in TSV and CSV."""
    file = "the query" if source.query else source.files()[0]
    with reading_connection(con, source, file, 1 << 30) as reading, errors_of_source(file, source):
        return dict(scan_of(reading, source, file).columns)
