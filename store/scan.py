"""SQL that reads files: pure functions, nothing run.

A scan is a SELECT of all columns that a user's file or query has, and one more with the number of each
row, from 1. The name of that column is chosen so that no column of the user has it, in any case of its
letters. Behind the user's condition, columns are known by their position alone, so that names of ours
and of the user's never stand side by side.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from .plan import exact_path, hex_key_sql, key_sql, literal, quoted
from .row_groups import RowGroups
from .share import WHOLE, Share

FILTERED = "outside the condition"
"""The reason of a row for which the user's condition does not hold."""
LONGEST_TEXT = 4 << 20
"""Bytes of a text that is encoded. Tokenizers take some 300 bytes of memory for a token."""
_NESTED = re.compile(r"^(STRUCT|MAP|UNION)\b|\[\d*\]$")


def unused_name(columns: Iterable[str], name: str) -> str:
    """``name``, or a longer one if a column has it; DuckDB does not tell small letters from capitals."""
    taken = {column.lower() for column in columns}
    while name.lower() in taken:
        name += "_"
    return name


def is_nested(kind: str) -> bool:
    """Whether a DuckDB type is a list, a struct or another type that holds several values."""
    return bool(_NESTED.search(kind))


def parquet_sql(file: str) -> str:
    """All columns of a Parquet file; a folder called ``label=1`` adds and changes none."""
    return f"SELECT * FROM read_parquet({exact_path(file)}, hive_partitioning=false)"


def numbered_parquet_sql(
    file: str, columns: Iterable[str], number: str, groups: RowGroups | None = None
) -> str:
    """A Parquet file's rows with their number in it; with ``groups``, DuckDB reads these row groups alone."""
    if "file_row_number" in {column.lower() for column in columns}:
        sql = numbered_sql(parquet_sql(file), number)  # the name of DuckDB's own column is taken
        return f"SELECT * FROM ({sql}) WHERE {groups.holds_sql(f'{quoted(number)} - 1')}" if groups else sql
    scan = f"read_parquet({exact_path(file)}, hive_partitioning=false)"
    some = f" WHERE {groups.holds_sql('file_row_number')}" if groups else ""
    return f"SELECT *, file_row_number + 1 AS {quoted(number)} FROM {scan}{some}"


def delimited_sql(
    file: str, format: str, columns: Sequence[str], *, header: bool, newline: str, longest: int, rejects: str
) -> str:
    """All columns of a TSV or CSV file, as text.

    TSV is read as GLUE writes it: a quote character is text. Lines that do not parse go to the tables
    ``{rejects}_errors`` and ``{rejects}_scans``. Nothing is guessed: DuckDB would leave out lines at the
    beginning that do not look like the others. ``longest`` is the length in bytes of the longest line.
    """
    dialect = r"delim='\t', quote='', escape=''" if format == "tsv" else "delim=',', quote='\"', escape='\"'"
    names = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    ending = newline.encode("unicode_escape").decode()
    return (
        f"SELECT * FROM read_csv({exact_path(file)}, {dialect}, header={str(header).lower()}, "
        f"columns={{{names}}}, new_line='{ending}', auto_detect=false, hive_partitioning=false, "
        f"max_line_size={max(2_000_000, longest)}, ignore_errors=true, store_rejects=true, rejects_limit=0, "
        f"rejects_table='{rejects}_errors', rejects_scan='{rejects}_scans')"
    )


def json_sql(file: str, *, array: bool, longest: int, columns: Mapping[str, str] | None = None) -> str:
    """All columns of a file of JSON lines, or of one JSON array of objects.

    A line that is not JSON is a row of nulls. ``columns`` are types by name; without them DuckDB looks at
    the whole file for the types. ``longest`` is the length in bytes of the longest line.
    """
    layout = "format='array'" if array else "format='newline_delimited', ignore_errors=true"
    types = "sample_size=-1"
    if columns is not None:
        types = f"columns={{{', '.join(f'{literal(n)}: {literal(kind)}' for n, kind in columns.items())}}}"
    return (
        f"SELECT * FROM read_json({exact_path(file)}, {layout}, {types}, hive_partitioning=false, "
        f"maximum_object_size={max(16 << 20, longest)})"
    )


def json_objects_sql(file: str, longest: int) -> str:
    """The structure of all lines that are JSON objects, as JSON: column names and types."""
    scan = (
        f"read_json_objects({exact_path(file)}, format='newline_delimited', ignore_errors=true, "
        f"hive_partitioning=false, maximum_object_size={max(16 << 20, longest)})"
    )
    return f"SELECT json_group_structure(json) FROM {scan} WHERE json_type(json) = 'OBJECT'"


def numbered_sql(scan: str, number: str, before: int = 0) -> str:
    """A scan's rows with their number, from 1, or from the one behind those that are before them."""
    first = f"{before} + " if before else ""
    return f"SELECT *, {first}row_number() OVER () AS {quoted(number)} FROM (\n{scan}\n)"


def reason_sql(
    text: str, pair: str | None, invalid: str, null_reason: str = "text is null", *, each: bool = False
) -> str:
    """Why a row cannot be used, NULL where it can. White space of any script counts as empty.

    With ``each``, both texts of a pair must hold something, as single texts must.
    """

    def blank(column: str) -> str:
        # Most texts begin with a character from ! to ~, which is no white space, and are told by it.
        return f"({column} NOT BETWEEN '!' AND '~' AND regexp_full_match({column}, '[\\s\\pZ]*'))"

    # One side of a pair may be empty: GLUE-like data has such rows, and BERT encodes them.
    nulls = f"{text} IS NULL" if pair is None else f"{text} IS NULL OR {pair} IS NULL"
    both = "OR" if each else "AND"
    empty = blank(text) if pair is None else f"{blank(text)} {both} {blank(pair)}"
    texts = [text] if pair is None else [text, pair]
    long = " OR ".join(f"strlen({one}) > {LONGEST_TEXT}" for one in texts)
    return (
        f"CASE WHEN {invalid} IS NOT NULL THEN {invalid} WHEN {nulls} THEN {literal(null_reason)} "
        f"WHEN {empty} THEN 'text is empty' "
        f"WHEN {long} THEN 'text is longer than {LONGEST_TEXT >> 20} MB' END"
    )


def label_sql(columns: Mapping[str, str]) -> str:
    """The text of a row's label; of a list, or of several columns, the JSON list of their texts.

    ``columns`` are the DuckDB types of the label's columns by name. Where one of several columns is null,
    the row has no label.
    """
    texts = [text_sql(column, kind) for column, kind in columns.items()]
    if len(columns) == 1:
        column, kind = next(iter(columns.items()))
        return f"to_json({quoted(column)}::VARCHAR[])::VARCHAR" if kind.endswith("[]") else texts[0]
    known = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
    return f"CASE WHEN {known} THEN to_json([{', '.join(texts)}])::VARCHAR END"


def text_sql(column: str, kind: str) -> str:
    """A column's value as text; the text of a JSON string is without its quotes."""
    return f"({quoted(column)} ->> '$')" if kind == "JSON" else f"{quoted(column)}::VARCHAR"


def rows_sql(
    scan: str,
    number: str,
    columns: Iterable[str],
    texts: Mapping[str, str],
    label: str | None,
    blobs: Sequence[str],
    where: str | None,
    *,
    keep_filtered: bool = False,
    null_rows_are_bad: bool = False,
    each_text: bool = False,
) -> str:
    """``row, text, pair, label, reason`` of a scan's rows.

    ``number`` is the scan's column of row numbers, ``columns`` are all its other columns. ``texts`` are the
    DuckDB types, by name, of the column of the text and, for pairs, of the second text. ``label`` is an
    expression (:func:`label_sql`). Columns in ``blobs`` hold bytes: they are decoded, and a text that is not
    UTF-8 is the row's reason. Rows for which ``where`` does not hold are left out, or with ``keep_filtered``
    have FILTERED as their reason. With ``null_rows_are_bad``, a row of nothing but nulls is a line that could
    not be read. With ``each_text``, neither text of a pair may be empty.
    """
    flag = unused_name((number, *columns), "enc unusable")
    problems = [
        f"WHEN {quoted(c)} IS NOT NULL AND TRY(decode({quoted(c)})) IS NULL THEN 'invalid UTF-8'"
        for c in texts
        if c in blobs
    ]
    problems += [
        f"WHEN json_type({quoted(c)}) IN ('OBJECT', 'ARRAY') THEN 'text is a JSON object or list'"
        for c, kind in texts.items()
        if kind == "JSON"
    ]
    unusable = f"CASE {' '.join(problems)} END" if problems else "NULL::VARCHAR"
    decoded = ", ".join(f"TRY(decode({quoted(c)})) AS {quoted(c)}" for c in blobs)
    stars = f"* REPLACE ({decoded})" if decoded else "*"
    condition = f"(\n{where}\n)" if where else "true"
    if where and problems:
        condition = f"coalesce({condition}, {quoted(flag)} IS NOT NULL)"  # a reject, where bytes are no text
    if where and null_rows_are_bad:
        nothing = " AND ".join(f"{quoted(column)} IS NULL" for column in columns)
        condition = f"({condition} OR ({nothing}))"
    values = [quoted(number), quoted(flag), *(text_sql(c, kind) for c, kind in texts.items())]
    if len(texts) == 1:
        values.append("NULL::VARCHAR")
    values.append(label or "NULL::VARCHAR")
    values.append(condition if keep_filtered else "true")
    inner = f"SELECT {stars}, {unusable} AS {quoted(flag)} FROM ({scan})"
    filter = "" if keep_filtered else f" WHERE {condition}"
    null_reason = "text is null, or the line is not JSON" if null_rows_are_bad else "text is null"
    pair = "pair" if len(texts) > 1 else None
    reason = reason_sql("text", pair, "unusable", null_reason, each=each_text)
    if keep_filtered:
        reason = f"CASE WHEN kept IS NOT TRUE THEN {literal(FILTERED)} ELSE {reason} END"
    return (
        f"SELECT row, text, pair, label, {reason} AS reason "
        f"FROM (SELECT {', '.join(values)} FROM ({inner}){filter}) "
        "AS named(row, unusable, text, pair, label, kept)"
    )


def keyed_sql(
    rows: str,
    source: int,
    first_id: int,
    *,
    paired: bool,
    keep_text: bool,
    share: Share = WHOLE,
    hex_keys: bool = False,
) -> str:
    """``id, source, row, key, text, pair, label, reason`` of :func:`rows_sql`'s rows.

    Ids count from ``first_id`` on. There is no key where there is a reason. Rows of another share have
    FILTERED as their reason, and nothing else. With ``hex_keys``, keys of the whole are as of
    :func:`enc.store.plan.hex_key_sql`.
    """
    key = (hex_key_sql if hex_keys else key_sql)("text", "pair" if paired else None)
    kept = "text, pair" if keep_text else "NULL::VARCHAR AS text, NULL::VARCHAR AS pair"
    keyed = (
        f"SELECT {first_id - 1} + row AS id, {source} AS source, row, "
        f"CASE WHEN reason IS NULL THEN {key} END AS key, {kept}, label, reason FROM ({rows})"
    )
    if share.is_whole:
        return keyed
    is_ours = f"coalesce({share.holds_sql('key')}, {str(share.is_first).lower()})"
    ours = ", ".join(f"CASE WHEN {is_ours} THEN {name} END" for name in ("key", "text", "pair", "label"))
    return (
        f"SELECT id, source, row, {ours}, CASE WHEN {is_ours} THEN reason ELSE {literal(FILTERED)} END "
        f"FROM ({keyed})"
    )
