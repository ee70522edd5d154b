"""Deleting texts' features: from current data at once, and from the disk with the next vacuum."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from . import plan, writer
from .duck import count, execute, first_line, is_out_of_space, workspace
from .errors import SourceError
from .history import Life, lives, spans
from .logged import LoggedShard
from .places import readable
from .progress import tell
from .rewrite import by_shard, maintained, replace_shards
from .source import Source
from .stage import stage_source
from .table import FeatureTable

_KEYS = "enc_doomed"


@dataclass(frozen=True)
class DeleteSummary:
    """What :func:`delete` did."""

    feature_set: str
    asked: int
    """Distinct keys that were to be deleted."""
    deleted: int
    """Rows that are no longer in current data."""
    unknown: int
    """Keys that current data did not have."""
    still_in: list[tuple[int, int]]
    """Older versions in which the texts still stand, first and last of each run, until they are vacuumed."""
    files: list[str]
    """Names of the files on the disk in which they still stand."""
    version: int


def delete(
    table: FeatureTable | str | Path, *, texts: Source | None = None, where: str | None = None
) -> DeleteSummary:
    """Delete the features of a source's texts, or of the rows for which a condition holds.

    ``where`` is an SQL condition over the columns key, n_tokens and truncated. A commit is made for each
    batch of shards that is written anew; a run that was killed is run again. Raises SourceError for texts or
    a condition that cannot be read.
    """
    if (texts is None) == (where is None):
        raise SourceError("say what to delete: the texts of a source, or a condition")
    table = FeatureTable.of(table)
    with maintained(table.path), workspace() as con:
        shards = table.refresh().shards
        con.execute(f"CREATE TABLE {_KEYS} (key BLOB)")
        if texts is not None:
            stage = stage_source(con, texts, keep_text=False)
            execute(con, f"INSERT INTO {_KEYS} SELECT DISTINCT key FROM {stage.name} WHERE key IS NOT NULL")
        elif shards:
            keys = _keys_where(shards, where or "")
            con.register("enc_found", keys)
            execute(con, f"INSERT INTO {_KEYS} SELECT DISTINCT key FROM enc_found")
        rows = by_shard(_holding(con, shards), shards)
        asked, known = count(con, _KEYS), _known(con, shards)
        touched = [shard for shard in table.logged if shard.path in rows]
        rewritten = 0
        for batch in _batches(touched):
            tell("deleting", rewritten, len(touched))
            replace_shards(table, batch, rows)
            rewritten += len(batch)
        tell("deleting", rewritten, len(touched))
        left = _left(con, table)
        return DeleteSummary(
            feature_set=table.name,
            asked=asked,
            deleted=sum(map(len, rows.values())),
            unknown=asked - known,
            still_in=spans((life for _, life in left if life), table.version),
            files=[name for name, _ in left],
            version=table.version,
        )


def _keys_where(shards: Sequence[str], where: str) -> duckdb.DuckDBPyRelation:
    """Keys of the rows for which a user's condition holds, which can read nothing but the shards."""
    con = duckdb.connect()
    files = ", ".join(map(plan.literal, shards))
    con.execute(f"SET allowed_paths=[{files}]")
    con.execute("SET enable_external_access=false")
    con.execute("SET lock_configuration=true")
    rows = f"SELECT key, n_tokens, truncated FROM read_parquet([{files}])"
    try:
        if len(con.extract_statements(f"SELECT {where}")) != 1:
            raise SourceError(f"--where is one condition, not several statements: {where}")
        return con.sql(f"SELECT key FROM ({rows}) WHERE ({where}\n)").to_arrow_table()
    except duckdb.Error as error:
        if is_out_of_space(error):
            raise
        raise SourceError(
            f"--where '{where}' cannot be used ({first_line(error)}); it is a condition over key, n_tokens "
            "and truncated"
        ) from error


def _holding(con: duckdb.DuckDBPyConnection, shards: Sequence[str]) -> np.ndarray:
    """Locations int64 of the rows to delete."""
    if not shards:
        return np.empty(0, np.int64)
    return con.sql(plan.holding_sql(shards, _KEYS)).fetchnumpy()["location"].astype(np.int64)


def _known(con: duckdb.DuckDBPyConnection, shards: Sequence[str]) -> int:
    if not shards:
        return 0
    files = ", ".join(map(plan.literal, shards))
    return count(con, f"{_KEYS} SEMI JOIN read_parquet([{files}]) USING (key)")


def _batches(shards: Sequence[LoggedShard]) -> list[list[LoggedShard]]:
    """Shards to be written anew together: about a large one's worth."""
    batches: list[list[LoggedShard]] = []
    size = 0
    for shard in shards:
        if not batches or size + shard.bytes > writer.SHARD_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(shard)
        size += shard.bytes
    return batches


def _left(con: duckdb.DuckDBPyConnection, table: FeatureTable) -> list[tuple[str, Life | None]]:
    """Files on the disk that are not current, and hold one of the keys; such that cannot be read count."""
    folder = table.path.absolute()
    log = lives(folder)
    current = {Path(shard.path).name for shard in table.logged}
    left = []
    for path in sorted(folder.glob("*.parquet")):
        if path.name in current:
            continue
        try:
            holds = count(con, f"({plan.holding_sql([readable(path)], _KEYS)})")
        except FileNotFoundError:  # a vacuum was quicker
            continue
        except duckdb.Error as error:
            if is_out_of_space(error):
                raise
            holds = 1
        if holds:
            left.append((path.name, log.get(path.name)))
    return left
