"""What is looked at before a vector is stored: it has its text, is finite, contradicts no other vector."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import FeatureSpec, FeatureTable, SourceError, StoreError, plan
from ...store.lookup import NOWHERE, Finder, Lookup
from ...store.mapped import MappedFeatures
from ...store.pages import is_finite
from ...store.progress import tell
from ...store.shard_writer import KEY_BYTES
from ...store.stage import Stage
from .vectors import Vectors, row_title

BLOCK_BYTES = 4 << 20  # of vectors at a time
TOLERANCE = 1e-3
"""Share of a vector's largest number by which another vector of the same text may differ from it: an encoder
gives slightly different numbers in another batch.
"""
_KEY_SCHEMA = pa.schema([pa.field("key", pa.binary(KEY_BYTES), nullable=False)])


def block_rows(vectors: Vectors) -> int:
    """How many vectors are looked at, or written, at a time."""
    return max(1, BLOCK_BYTES // (8 * vectors.width))


def require_alike(stage: Stage, vectors: Vectors, title: str) -> None:
    """Raise SourceError unless there is a vector for each row of the texts, and each line of them is a row.

    ``title`` names the texts.
    """
    if not stage.rows:
        raise SourceError(f"{title} has no rows")
    if stage.rows != stage.ids:  # there are lines that do not parse
        where, row, reason = stage.con.sql(
            f"SELECT f.name, r.row, r.reason FROM {stage.name}_rejects r "
            f"JOIN {stage.name}_files f ON f.id = r.source "
            f"ANTI JOIN {stage.name} s ON s.source = r.source AND s.row = r.row "
            "ORDER BY r.source, r.row LIMIT 1"
        ).fetchall()[0]
        raise SourceError(
            f"{where}, row {row:,}: {reason}; which vector belongs to which line cannot be told, so mend or "
            "remove this line"
        )
    if vectors.rows != stage.rows:
        counts = f"{vectors.title} has {vectors.rows:,} rows, and {title} has {stage.rows:,}"
        lacking = f"row {vectors.rows + 1:,} of {title} has no vector"
        if vectors.rows > stage.rows:
            lacking = f"{row_title(stage.rows, vectors.title)} has no text"
        raise SourceError(
            f"{counts}: {lacking}; give one vector for each row of the texts, in the same order"
        )
    if stage.rejected == stage.rows:
        raise SourceError(f"{title} has no row with a usable text; the first is {stage.first_reject()}")


class Checker:
    """Looks at all vectors of a stage's texts, block by block, in the order of the rows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, stage: Stage, vectors: Vectors, spec: FeatureSpec):
        self._con, self._stage, self._vectors, self._spec = con, stage, vectors, spec
        self.usable = stage.rows_where("true")
        """bool [rows]: whether a row has a usable text."""

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row, and vectors [n, width] as they will be stored; what is of no use is 0 there.

        Raises SourceError for a row without a vector, or with a number that is not finite.
        """
        step = block_rows(self._vectors)
        for start in range(0, self._vectors.rows, step):
            tell("checking", start, self._vectors.rows)
            stop = min(start + step, self._vectors.rows)
            usable, given = self.usable[start:stop], self._vectors.block(start, stop)
            if self._vectors.is_null is not None:
                absent = np.flatnonzero(usable & self._vectors.is_null[start:stop])
                if len(absent):
                    raise SourceError(
                        f"{self._row(start + int(absent[0]))} has a text and no vector; leave out the text, "
                        "or give its vector"
                    )
            with np.errstate(over="ignore", invalid="ignore"):
                stored = given.astype(self._spec.numpy_dtype)
            stored[~usable] = 0
            if not is_finite(stored):
                row = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
                self._refuse(start + row, given[row])
            yield start, stored
        tell("checking", self._vectors.rows, self._vectors.rows)

    def require_consistent(
        self, found: Lookup, finder: Finder, table: FeatureTable | None, scratch: Path
    ) -> None:
        """Raise SourceError for two vectors of one text, and StoreError for one that the table has otherwise.

        ``found`` is what ``finder`` found of the stage's texts in the table. All vectors are looked at.
        """
        known = MappedFeatures(table.shards, self._spec) if table else None
        doubles = self._doubles(found, finder, scratch)
        name = table.name if table else ""
        for start, stored in self.blocks():
            part = slice(start, start + len(stored))
            if known is not None:
                rows = np.flatnonzero(self.usable[part] & ~found.is_first_missing[part] & ~doubles.of(part))
                wrong = differing(stored[rows], known.take(np.asarray(found.locations[part])[rows]))
                if len(wrong):
                    raise StoreError(
                        f"{self._row(start + int(rows[wrong[0]]))}: feature set '{name}' "
                        "holds another vector of this text; vectors of one feature set are of one model and "
                        "setting, so take another --features"
                    )
            rows = np.flatnonzero(doubles.of(part))
            if len(rows):
                firsts = doubles.firsts(start + rows)
                with np.errstate(over="ignore", invalid="ignore"):
                    others = self._vectors.at(firsts).astype(self._spec.numpy_dtype)
                wrong = differing(stored[rows], others)
                if len(wrong):
                    first, row = int(firsts[wrong[0]]), start + int(rows[wrong[0]])
                    raise SourceError(
                        f"rows {first:,} and {row:,} (counted from 0) of {self._vectors.title} are different "
                        f"vectors of one text ({self._place(row)}); are these the vectors of these texts, in "
                        "their order?"
                    )

    def _doubles(self, found: Lookup, finder: Finder, scratch: Path) -> "_Doubles":
        is_missing = np.asarray(found.locations) == NOWHERE
        is_double = self.usable & is_missing & ~found.is_first_missing
        if not is_double.any():
            return _Doubles(is_double, found, None)
        keys, rows = scratch / "first-keys.parquet", scratch / "first-rows"
        with pq.ParquetWriter(keys, _KEY_SCHEMA, compression="none") as writer, rows.open("wb") as numbers:
            for ids, batch in first_keys(self._con, self._stage, found):
                writer.write_table(pa.table([batch.cast(pa.binary(KEY_BYTES))], schema=_KEY_SCHEMA))
                ids.tofile(numbers)
        finder.find_missing_in([str(keys)], 0)
        return _Doubles(is_double, found, np.memmap(rows, np.int64, "r"))

    def _refuse(self, row: int, vector: np.ndarray) -> None:
        """Raise SourceError for the first number of a vector that cannot be stored."""
        with np.errstate(over="ignore", invalid="ignore"):
            column = int(np.flatnonzero(~np.isfinite(vector.astype(self._spec.numpy_dtype)))[0])
        value = f"{self._row(row)}: number {column:,} is {vector[column]:g}"
        if np.isfinite(vector[column]):
            wider = "pass --dtype float32, or " if self._spec.dtype == "float16" else ""
            raise SourceError(f"{value}, too large for {self._spec.dtype}; {wider}scale the vectors")
        raise SourceError(f"{value}; vectors are of finite numbers")

    def _row(self, row: int) -> str:
        return f"{row_title(row, self._vectors.title)} ({self._place(row)})"

    def _place(self, row: int) -> str:
        """Where the text of a row stands."""
        found = self._con.sql(
            f"SELECT f.name, s.row FROM {self._stage.name} s JOIN {self._stage.name}_files f "
            f"ON f.id = s.source WHERE s.id = {row}"
        ).fetchall()
        return "".join(f"text of row {number:,} of {name}" for name, number in found)


class _Doubles:
    """Rows whose text an earlier row has, where the table does not know the text."""

    def __init__(self, is_double: np.ndarray, found: Lookup, rows: np.ndarray | None):
        self._is_double, self._found, self._rows = is_double, found, rows

    def of(self, part: slice) -> np.ndarray:
        """Whether each row of a part is one, bool [n]."""
        return self._is_double[part]

    def firsts(self, rows: np.ndarray) -> np.ndarray:
        """The first rows with the texts of rows int64 [n] that are doubles."""
        return np.asarray(self._rows)[self._found.locations[rows]] if self._rows is not None else rows


def first_keys(
    con: duckdb.DuckDBPyConnection, stage: Stage, found: Lookup, rows: int = 1 << 14
) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """Row numbers int64 [n], ascending, and keys of the first row of each text that is missing."""
    with con.cursor() as cursor:
        for batch in cursor.sql(plan.rows_sql(stage.name, "id, key", "true")).to_arrow_reader(rows):
            ids = batch.column(0).to_numpy()
            is_first = found.is_first_missing[ids]
            if is_first.any():
                yield ids[is_first], batch.column(1).filter(pa.array(is_first))


def differing(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Positions int64 of the rows [n, width] that differ by more than rounding."""
    mine, theirs = vectors.astype(np.float32), others.astype(np.float32)
    largest = np.maximum(np.abs(mine), np.abs(theirs)).max(axis=1, initial=0)
    return np.flatnonzero(np.abs(mine - theirs).max(axis=1, initial=0) > TOLERANCE * largest)
