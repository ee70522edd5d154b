"""Texts in memory, staged as those of a source are."""

import duckdb
import pyarrow as pa

from .duck import count
from .scan import keyed_sql, reason_sql
from .source import Source
from .stage import Stage

_NAME = "texts"
_GIVEN = "enc_given_texts"


def stage_texts(con: duckdb.DuckDBPyConnection, texts: pa.Array, pairs: pa.Array | None = None) -> Stage:
    """Stage texts, or pairs of texts, of one length: string arrays, in which null is a row without a text.

    The id of a row is its position, from 0. Texts have the keys that they have in a file.
    """
    empty = pa.nulls(len(texts), pa.string())
    row = pa.array(range(1, len(texts) + 1), pa.int64())
    given = pa.table({"row": row, "text": texts, "pair": empty if pairs is None else pairs})
    reason = reason_sql("text", None if pairs is None else "pair", "NULL::VARCHAR")
    rows = f"SELECT row, text, pair, NULL::VARCHAR AS label, {reason} AS reason FROM {_GIVEN}"
    con.register(_GIVEN, given)
    try:
        con.execute(
            f"CREATE TABLE {_NAME} AS {keyed_sql(rows, 0, 0, paired=pairs is not None, keep_text=True)}"
        )
    finally:
        con.unregister(_GIVEN)
    con.execute(
        f"CREATE TABLE {_NAME}_rejects AS SELECT source, row, reason FROM {_NAME} WHERE reason IS NOT NULL;"
        f"CREATE TABLE {_NAME}_files AS SELECT 0 AS id, 'the texts' AS name"
    )
    return Stage(
        con=con,
        name=_NAME,
        source=Source("the texts", text_column="text"),
        text_column="text",
        pair_column=None if pairs is None else "pair",
        label_columns=(),
        label_type=None,
        typed=True,
        rows=len(texts),
        rejected=count(con, f"{_NAME}_rejects"),
        ids=len(texts),
        has_texts=True,
        scans=(),
        first_ids=(0,),
    )
