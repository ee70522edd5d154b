"""Pure functions that return SQL: no connection, no files, nothing run."""

from collections.abc import Sequence

from .locations import ROW_BITS


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def key_sql(text: str, pair: str | None = None) -> str:
    """Key of a text or pair: SHA-256 over a tag and the text, 32 bytes.

    The tag keeps texts and pairs apart, and the length of the first text keeps ("a", "bc") and
    ("ab", "c") apart.
    """
    if pair is None:
        return f"unhex(sha256('t' || {text}))"
    return f"unhex(sha256('p' || strlen({text}) || ':' || {text} || {pair}))"


def reason_sql(text: str, pair: str | None, invalid: str, null_reason: str = "text is null") -> str:
    """Why a row cannot be used, NULL where it can. White space of any script counts as empty."""

    def blank(column: str) -> str:
        return f"regexp_full_match({column}, '[\\s\\pZ]*')"

    # One side of a pair may be empty: GLUE-like data has such rows, and BERT encodes them.
    nulls = f"{text} IS NULL" if pair is None else f"{text} IS NULL OR {pair} IS NULL"
    empty = blank(text) if pair is None else f"{blank(text)} AND {blank(pair)}"
    return (
        f"CASE WHEN {invalid} THEN 'invalid UTF-8' WHEN {nulls} THEN {literal(null_reason)} "
        f"WHEN {empty} THEN 'text is empty' END"
    )


def label_sql(columns: Sequence[str], *, is_list: bool = False) -> str:
    """The text of a row's label; of a list, or of several columns, the JSON list of their texts.

    Where one of several columns is null, the row has no label.
    """
    if is_list:
        return f"to_json({quoted(columns[0])}::VARCHAR[])::VARCHAR"
    texts = [f"{quoted(column)}::VARCHAR" for column in columns]
    if len(columns) == 1:
        return texts[0]
    known = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
    return f"CASE WHEN {known} THEN to_json([{', '.join(texts)}])::VARCHAR END"


def rows_sql(
    scan: str,
    texts: Sequence[str],
    label: str | None,
    blobs: Sequence[str],
    where: str | None,
    *,
    null_reason: str = "text is null",
) -> str:
    """``enc_row, enc_text, enc_pair, enc_label, enc_reason`` of a scan's rows.

    ``texts`` names the column of the text, and of the second text for pairs; ``label`` is an
    expression (see :func:`label_sql`). Columns in ``blobs``
    hold bytes: they are decoded, and a row whose text is not UTF-8 has that as its reason.
    """
    invalid = " OR ".join(
        f"({quoted(c)} IS NOT NULL AND TRY(decode({quoted(c)})) IS NULL)" for c in texts if c in blobs
    )
    decoded = ", ".join(f"TRY(decode({quoted(c)})) AS {quoted(c)}" for c in blobs)
    columns = f"* REPLACE ({decoded})" if decoded else "*"
    text = f"{quoted(texts[0])}::VARCHAR AS enc_text"
    pair = f"{quoted(texts[1])}::VARCHAR AS enc_pair" if len(texts) > 1 else "NULL::VARCHAR AS enc_pair"
    label = f"{label or 'NULL::VARCHAR'} AS enc_label"
    reason = reason_sql("enc_text", "enc_pair" if len(texts) > 1 else None, "enc_invalid", null_reason)
    return (
        f"SELECT *, {reason} AS enc_reason FROM (SELECT enc_row, enc_invalid, {text}, {pair}, {label} "
        f"FROM (SELECT {columns}, {invalid or 'false'} AS enc_invalid FROM ({scan})) "
        f"WHERE ({where or 'true'}))"
    )


def keyed_sql(rows: str, source: int, *, paired: bool, keep_text: bool) -> str:
    """``source, row, key, text, pair, label, reason`` of :func:`rows_sql`'s rows; no key where there is a
    reason.
    """
    key = key_sql("enc_text", "enc_pair" if paired else None)
    kept = "enc_text, enc_pair" if keep_text else "NULL, NULL"
    return (
        f"SELECT {source}, enc_row, CASE WHEN enc_reason IS NULL THEN {key} END, {kept}, enc_label, "
        f"enc_reason FROM ({rows})"
    )


def query_sql(query: str) -> str:
    """A query's rows with their number, from 1, as ``enc_row``."""
    return f"SELECT *, row_number() OVER () AS enc_row FROM ({query})"


def scan_sql(file: str, format: str, rejects: str, columns: Sequence[str] = ()) -> str:
    """A file's rows with their number, from 1, as ``enc_row``; ``columns`` names those of a TSV or CSV
    without a header.

    TSV is read as GLUE writes it: a quote character is text. Lines that do not parse go to the
    tables ``{rejects}_errors`` and ``{rejects}_scans``.
    """
    path = literal(file)
    if format == "parquet":
        return f"SELECT *, file_row_number + 1 AS enc_row FROM read_parquet({path})"
    if format == "jsonl":
        return (
            f"SELECT *, row_number() OVER () AS enc_row FROM read_json({path}, "
            "format='newline_delimited', ignore_errors=true)"
        )
    dialect = r"delim='\t', quote='', escape=''" if format == "tsv" else "delim=',', quote='\"', escape='\"'"
    header = f"header=false, names=[{', '.join(map(literal, columns))}]" if columns else "header=true"
    return (
        f"SELECT *, row_number() OVER () AS enc_row FROM read_csv({path}, {dialect}, {header}, "
        "all_varchar=true, "
        f"ignore_errors=true, store_rejects=true, rejects_limit=0, "
        f"rejects_table='{rejects}_errors', rejects_scan='{rejects}_scans')"
    )


def index_sql(shards: Sequence[str], stage: str) -> str:
    """``key, location`` of the features of a stage's keys, one row per key however often it was written."""
    if not shards:
        return "SELECT NULL::BLOB AS key, NULL::BIGINT AS location WHERE false"
    files = ", ".join(map(literal, shards))
    return (
        f"SELECT key, min((file_index::BIGINT << {ROW_BITS}) | file_row_number::BIGINT) AS location "
        f"FROM read_parquet([{files}]) SEMI JOIN {stage} USING (key) GROUP BY key"
    )


def doubles_sql(shards: Sequence[str], condition: str = "true") -> str:
    """``location`` of the rows, of those for which a condition holds, whose key an earlier row has."""
    files = ", ".join(map(literal, shards))
    rows = (
        f"SELECT key, (file_index::BIGINT << {ROW_BITS}) | file_row_number::BIGINT AS location "
        f"FROM read_parquet([{files}]) WHERE {condition}"
    )
    firsts = f"SELECT key, min(location) AS first FROM ({rows}) GROUP BY key HAVING count(*) > 1"
    return f"SELECT location FROM ({rows}) JOIN ({firsts}) USING (key) WHERE location > first"


def locations_sql(shards: Sequence[str], condition: str = "true") -> str:
    """``key, location`` of the keys for which a condition holds, one row per key."""
    if not shards:
        return "SELECT NULL::BLOB AS key, NULL::BIGINT AS location WHERE false"
    files = ", ".join(map(literal, shards))
    return (
        f"SELECT key, min((file_index::BIGINT << {ROW_BITS}) | file_row_number::BIGINT) AS location "
        f"FROM read_parquet([{files}]) WHERE {condition} GROUP BY key"
    )


def holding_sql(shards: Sequence[str], keys: str) -> str:
    """``location`` of the rows whose key is in a table of keys."""
    files = ", ".join(map(literal, shards))
    return (
        f"SELECT (file_index::BIGINT << {ROW_BITS}) | file_row_number::BIGINT AS location "
        f"FROM read_parquet([{files}]) SEMI JOIN {keys} USING (key)"
    )


def first_rows_sql(stage: str) -> str:
    """``id`` (rowid) of the first row of every distinct key of a stage."""
    return f"SELECT key, min(rowid) AS id FROM {stage} WHERE key IS NOT NULL GROUP BY key"


def missing_sql(first_rows: str, shards: Sequence[str]) -> str:
    """``key, id`` of the first rows whose key no shard has."""
    if not shards:
        return f"SELECT key, id FROM {first_rows}"
    files = ", ".join(map(literal, shards))
    return f"SELECT key, id FROM {first_rows} ANTI JOIN (SELECT key FROM read_parquet([{files}])) USING (key)"


def texts_sql(stage: str, ids: str) -> str:
    """``key, text, pair`` of a stage's rows with these ids, in the source's order."""
    return f"SELECT key, text, pair FROM {stage} WHERE rowid IN (SELECT id FROM ({ids}))"


def located_sql(stage: str, shards: Sequence[str]) -> str:
    """``location`` of every row of a stage, in the source's order; NULL where there are no features."""
    return (
        f"SELECT i.location FROM {stage} s LEFT JOIN ({index_sql(shards, stage)}) i USING (key) "
        "ORDER BY s.source, s.row"
    )


def labelled_sql(stage: str, shards: Sequence[str], label_ids: str, condition: str = "true") -> str:
    """``location, label`` (class number) of a stage's usable rows with a label, in the source's order."""
    return (
        f"SELECT i.location, l.id AS label FROM (SELECT * FROM {stage} WHERE key IS NOT NULL "
        f"AND {condition}) s "
        f"JOIN {label_ids} l ON s.label = l.label LEFT JOIN ({index_sql(shards, stage)}) i USING (key) "
        "ORDER BY s.source, s.row"
    )


def targets_sql(stage: str, shards: Sequence[str], value: str, condition: str = "true") -> str:
    """``location, target`` of a stage's usable rows with a label, in the source's order; ``value`` is an
    expression over label.
    """
    rows = (
        f"SELECT source, row, key, {value} AS target FROM {stage} WHERE key IS NOT NULL "
        f"AND label IS NOT NULL AND {condition}"
    )
    return (
        f"SELECT i.location, s.target FROM ({rows}) s LEFT JOIN ({index_sql(shards, stage)}) i "
        "USING (key) ORDER BY s.source, s.row"
    )


def source_rows_sql(stage: str) -> str:
    """``source`` (the file's name) and ``row`` of a stage's usable labelled rows, in the source's order."""
    return (
        f"SELECT f.name AS source, s.row FROM {stage} s JOIN {stage}_files f ON f.id = s.source "
        f"WHERE s.key IS NOT NULL AND s.label IS NOT NULL ORDER BY s.source, s.row"
    )


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
    return (
        f"(md5_number_upper(hex(key) || ':{int(seed)}') >> 11)::DOUBLE / 9007199254740992.0 "
        f"< {float(fraction)!r}"
    )
