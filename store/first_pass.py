"""The first pass over a source: its distinct texts by key, in parts, of which a share reads what it needs.

Without it, each of many workers reads the whole source. A part (:mod:`.text_part`) has the texts of one file,
or of a piece of a large one (:mod:`.source_parts`), and lies in the store's folder ``_work/ID/`` under a name
that is another one when the file has changed; ID is of the source and the setting. So a first pass that was
interrupted goes on with the parts that are there, any process finds what any other one has made, and no part
is used of a file that is no longer the same.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from . import plan
from .catalog import Store
from .divisions import is_whole, make_whole
from .duck import with_memory, workspace
from .errors import SourceError, StoreError, WorkspaceError
from .files import replaced_file
from .log_folder import has_log
from .places import Place, mark_of, opened, place_of
from .progress import tell
from .shard_file import reason
from .share import Share
from .sides import encoded_texts
from .source import Source
from .source_parts import Piece, are_known, digest_of, is_of, parts_of
from .spec import FeatureSpec
from .stage import Stage, create_tables
from .staged_pieces import stage_piece
from .table import FeatureTable
from .text_part import READ_BYTES, READ_ROWS, Facts, read_facts, read_share, write_texts
from .work import WORK_FOLDER, using, work_folder

pc: Any = compute  # its functions are made when it is imported, and type checkers know only some of them
_STREAM = "enc_stream"


@dataclass(frozen=True)
class FirstPass:
    """Where the parts of a source lie, and which ones there must be as its files are now."""

    folder: str
    """In the store."""
    parts: tuple[str, ...]
    """The names of the parts, in the order of the source's files and their rows."""

    @property
    def place(self) -> Place:
        """The folder."""
        return place_of(self.folder)

    def missing(self) -> list[str]:
        """The parts that are not there."""
        place = self.place
        there = {path.name for path in place.iterdir()} if place.is_dir() else set()
        return [name for name in self.parts if name not in there]


def first_pass_of(source: Source, store: Store | str | Place, name: str, digest: str) -> FirstPass:
    """The first pass of a source for a feature set of a setting, as the source's files are now.

    Large text files are looked through, and divided into pieces, if nobody has done it. Raises SourceError
    for a file that is not there.
    """
    folder = folder_for(source, store, name, digest)
    return FirstPass(str(folder), tuple(parts_of(source, folder)))


def folder_for(source: Source, store: Store | str | Place, name: str, digest: str) -> Place:
    """The folder of :func:`first_pass_of`, whatever the source's files are."""
    told = {**asdict(source), "set": name, "setting": digest, "enc": version("enc-features")}
    return work_folder(Store(store).path, digest_of(told))


def digest_of_set(store: Store | str | Place, name: str, spec: FeatureSpec) -> str:
    """The digest of a feature set's setting, whether it is there or is to be made."""
    path = Store(store).path / name
    return FeatureTable(path).spec.digest if has_log(path) else spec.digest


def finished_first_pass(
    source: Source, store: Store | str | Path, name: str, spec: FeatureSpec
) -> FirstPass | None:
    """The first pass of a source as its files are now, if all of its parts are there."""
    if not (Store(store).path / WORK_FOLDER).is_dir():
        return None
    digest = digest_of_set(store, name, spec)
    if not are_known(source, folder_for(source, store, name, digest)):
        return None
    first_pass = first_pass_of(source, store, name, digest)
    return None if first_pass.missing() else first_pass


def write_part(source: Source, folder: str, part: str, piece: Piece) -> Facts | None:
    """Read a piece of a source, and write its part and its rejects into the folder of a first pass.

    ``part`` and ``piece`` are of :func:`enc.store.source_parts.parts_of`. The part has its name only when it
    is whole. Returns None, and writes nothing, for lines that cannot be read apart from their file: from then
    on, the file has one part. Raises as :func:`stage_source`, SourceError if the file is no longer the one
    that the part is of, and WorkspaceError where the store's disk is full.
    """
    place = place_of(folder)
    _require_same(part, source, piece)
    with using(place), workspace() as con:
        mark = mark_of(place_of(piece.file)) if piece.lines else ()
        if piece.lines and is_whole(place, piece.file, mark):
            return None  # another piece of the file could not be read apart
        stage = stage_piece(con, source, piece)
        _require_same(part, source, piece)  # what was read was that of which the part is
        if stage is None:
            make_whole(place, piece.file, mark)
            return None
        with _told_if_full(place):
            if stage.rejected:
                stage.write_rejects(place / _rejects(part))
            return _write_texts(stage, piece.file, place / part)


def _require_same(part: str, source: Source, piece: Piece) -> None:
    """Raise SourceError where a file has changed since its part was named."""
    if not is_of(part, source, piece):
        raise SourceError(f"{piece.file} changed while it was read; run this again when it is complete")


def _write_texts(stage: Stage, file: str, place: Place) -> Facts:
    texts, rows = encoded_texts(stage), stage.rows - stage.rejected
    # Of a pair whose texts are encoded apart, the first one counts as its row.
    told = "key, text, pair, " + ("1 - id % 2 AS rows" if stage.source.is_separate else "1 AS rows")
    found: list[Facts] = []

    count = 2 * rows if stage.source.is_separate else rows

    def facts(distinct: int) -> Facts:
        found[:] = [
            Facts(file, stage.text_column, texts.pair_column, rows, distinct, stage.rejected, stage.reasons())
        ]
        return found[0]

    def write(_: int) -> None:
        tell("sorting", 0, count)
        with replaced_file(place) as path, stage.con.cursor() as cursor:
            sql = f"{plan.rows_sql(texts.name, told, 'true')} ORDER BY key"
            write_texts(path, _counted(cursor.sql(sql).to_arrow_reader(READ_ROWS), count), count, facts)

    with_memory(stage.con, write)
    return found[0]


def part_facts(first_pass: FirstPass) -> list[Facts]:
    """What is known of each part. Raises StoreError for a part that is damaged or gone."""
    found = []
    for part in first_pass.parts:
        place = first_pass.place / part
        with _told_if_damaged(place), opened(place) as file:
            found.append(read_facts(file))
    return found


def stage_parts(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    first_pass: FirstPass,
    share: Share,
    *,
    name: str = "stage",
    keep_text: bool = True,
) -> Stage:
    """As :func:`enc.store.stage.stage_source` of a share, of a first pass; rows are in the order of keys,
    and each text of a part is there once. Pairs that are encoded apart are single texts in the stage.

    Raises StoreError for a part that is damaged or gone.
    """
    create_tables(con, name)
    facts, files, ids, rows = list[Facts](), dict[str, int](), 0, 0
    kept = "text, pair" if keep_text else "NULL, NULL"
    with using(first_pass.place):
        for table in _gathered(_rows_of(first_pass, share, facts, files, keep_text=keep_text)):
            con.register(_STREAM, table.append_column("id", pa.array(np.arange(ids, ids + len(table)))))
            con.execute(
                f"INSERT INTO {name} SELECT id, source, id + 1, key, {kept}, NULL, NULL FROM {_STREAM}"
            )
            con.unregister(_STREAM)
            ids += len(table)
            rows += pc.sum(table.column("rows")).as_py()
        for file, number in files.items():
            con.execute(f"INSERT INTO {name}_files VALUES (?, ?)", [number, file])
        for part, one in zip(first_pass.parts, facts, strict=True):
            if share.is_first and one.rejected:
                _add_rejects(con, name, files[one.file], first_pass.place / _rejects(part))
    rejected = sum(one.rejected for one in facts) if share.is_first else 0
    return Stage(
        con, name, replace(source, pairs="joint"), facts[0].text_column, facts[0].pair_column, (), None,
        False, rows + rejected, rejected, ids, keep_text, (), (0,) * len(files),
    )  # fmt: skip


def _rows_of(
    first_pass: FirstPass, share: Share, facts: list[Facts], files: dict[str, int], *, keep_text: bool
) -> Iterator[pa.Table]:
    """``key, rows, source`` and texts of a share, of one part after the other, whose facts are added, and
    whose files get their numbers.
    """
    columns = ("rows", "text", "pair") if keep_text else ("rows",)
    for part in first_pass.parts:
        place = first_pass.place / part
        with _told_if_damaged(place), opened(place) as file:
            facts.append(read_facts(file))
            number = files.setdefault(facts[-1].file, len(files))
            for table in read_share(file, share, columns):
                yield table.append_column("source", pa.array(np.full(len(table), number, np.int32)))


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The tables, small ones together: each insertion has its price."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= READ_ROWS or size >= READ_BYTES:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def _add_rejects(con: duckdb.DuckDBPyConnection, name: str, number: int, place: Place) -> None:
    with _told_if_damaged(place), opened(place) as file:
        for batch in pq.ParquetFile(file).iter_batches(READ_ROWS, columns=["row", "reason"]):
            con.register(_STREAM, pa.Table.from_batches([batch]))
            con.execute(f"INSERT INTO {name}_rejects SELECT {number}, row, reason FROM {_STREAM}")
            con.unregister(_STREAM)


def _rejects(part: str) -> str:
    return part.replace("texts-", "rejects-", 1)


def _counted(reader: pa.RecordBatchReader, rows: int) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in reader:
        yield batch
        done += batch.num_rows
        tell("sorting", done, rows)


@contextmanager
def _told_if_full(folder: Place) -> Iterator[None]:
    try:
        yield
    except (OSError, duckdb.Error) as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not is_full and not (isinstance(error, duckdb.Error) and str(folder) in str(error)):
            raise
        raise WorkspaceError(
            f"the first pass does not fit into '{folder}' ({reason(error)}); free some space there and run "
            "this again, which goes on, or pass --first-pass never"
        ) from error


@contextmanager
def _told_if_damaged(place: Place) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(
            f"'{place}' is gone: another build of the same source may have ended; run this again"
        ) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"'{place}' is damaged ({reason(error)}); remove the folder '{place.parent}', and run this again"
        ) from error
