"""SQL over a staged source and the shards of a feature table: pure functions, nothing run."""

import re
from collections.abc import Sequence
from pathlib import Path

from .locations import ROW_BITS

_LOCATION = f"((file_index::BIGINT << {ROW_BITS}) | file_row_number::BIGINT)"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def exact_path(file: str) -> str:
    """The SQL string of a path that DuckDB takes for this file alone, whatever characters its name has."""
    return literal(escaped(str(Path(file).absolute())))


def escaped(path: str) -> str:
    """A path as a glob that only the path itself matches."""
    return re.sub(r"[*?[]", r"[\g<0>]", path)


def shards_sql(shards: Sequence[str]) -> str:
    """All rows of the shards, with the position of the file and the row in it."""
    # A folder called key=1 would otherwise add a column, or replace one.
    return f"read_parquet([{', '.join(map(exact_path, shards))}], hive_partitioning=false)"


def shard_keys_sql(shards: Sequence[str]) -> str:
    """``key, location`` of all features in the shards."""
    return f"SELECT key, {_LOCATION} AS location FROM {shards_sql(shards)}"


def locations_sql(shards: Sequence[str], condition: str = "true") -> str:
    """``key, location`` of the keys for which a condition holds, one row per key."""
    if not shards:
        return "SELECT NULL::BLOB AS key, NULL::BIGINT AS location WHERE false"
    rows = f"FROM {shards_sql(shards)} WHERE {condition}"
    return f"SELECT key, min({_LOCATION}) AS location {rows} GROUP BY key"


def holding_sql(shards: Sequence[str], keys: str) -> str:
    """``location`` of the rows whose key is in a table of keys."""
    return f"SELECT {_LOCATION} AS location FROM {shards_sql(shards)} SEMI JOIN {keys} USING (key)"


def key_sql(text: str, pair: str | None = None) -> str:
    """Key of a text or pair: SHA-256 over a tag and the text, 32 bytes.

    The tag keeps texts and pairs apart, and the length of the first text keeps ("a", "bc") and
    ("ab", "c") apart.
    """
    return f"unhex({hex_key_sql(text, pair)})"


def hex_key_sql(text: str, pair: str | None = None) -> str:
    """The key of :func:`key_sql` as 64 digits, which others turn into bytes faster than DuckDB does."""
    if pair is None:
        return f"sha256('t' || {text})"
    return f"sha256('p' || strlen({text}) || ':' || {text} || {pair})"


def rows_sql(stage: str, columns: str, condition: str) -> str:
    """Columns of a stage's usable rows for which a condition holds, in the source's order.

    A table that is read alone is read in the order in which it was filled, and needs no sorting.
    """
    return f"SELECT {columns} FROM {stage} WHERE key IS NOT NULL AND ({condition})"


def fingerprint_sql(stage: str) -> str:
    """SHA-256, in hex, of a stage's keys and labels as a multiset: the order of the rows does not change it.

    It is the digest of the number of rows and of two sums of 64-bit hashes, which needs no sorting.
    """
    row = "hex(key) || coalesce('=' || label, '')"
    sums = ", ".join(f"coalesce(sum(md5_number_{half}({row})::HUGEINT), 0)" for half in ("upper", "lower"))
    return f"SELECT sha256(concat_ws(':', count(*), {sums})) FROM {stage} WHERE key IS NOT NULL"


def held_out_sql(fraction: float, seed: int) -> str:
    """A condition that holds for about ``fraction`` of the keys, chosen by seed.

    It looks at the key alone: a text is never on both sides, and stays on its side as data grows.
    """
    uniform = f"(md5_number_upper(hex(key) || ':{int(seed)}') >> 11)::DOUBLE / 9007199254740992.0"
    return f"{uniform} < {float(fraction)!r}"
