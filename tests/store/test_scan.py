import duckdb
import pytest
from enc.store import scan

CON = duckdb.connect()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a", None),
        (" \t", "text is empty"),
        ("", "text is empty"),
        ("\u3000\u00a0", "text is empty"),
        (None, "text is null"),
        ("\u3000好", None),
    ],
)
def test_reasons(text, reason):
    sql = f"SELECT {scan.reason_sql('t', None, 'NULL')} FROM (SELECT ?::VARCHAR AS t)"
    assert CON.execute(sql, [text]).fetchall() == [(reason,)]


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("a", "b"), None),
        (("a", ""), None),
        (("", "b"), None),
        (("", " "), "text is empty"),
        (("a", None), "text is null"),
    ],
)
def test_one_side_of_a_pair_may_be_empty(pair, reason):
    sql = f"SELECT {scan.reason_sql('t', 'p', 'NULL')} FROM (SELECT ?::VARCHAR AS t, ?::VARCHAR AS p)"
    assert CON.execute(sql, list(pair)).fetchall() == [(reason,)]


def test_a_name_is_not_one_of_the_columns_in_any_case():
    assert scan.unused_name(["a"], "enc row") == "enc row"
    assert scan.unused_name(["Enc Row", "enc row_"], "enc row") == "enc row__"


@pytest.mark.parametrize(
    ("kind", "is_nested"),
    [
        ("VARCHAR", False),
        ("DECIMAL(18,3)", False),
        ("VARCHAR[]", True),
        ("INTEGER[3]", True),
        ("STRUCT(a INTEGER)", True),
        ("MAP(VARCHAR, INTEGER)", True),
    ],
)
def test_types_of_several_values(kind, is_nested):
    assert scan.is_nested(kind) == is_nested


def test_sql_is_what_it_was(golden):
    golden(
        "scan_tsv.sql",
        scan.delimited_sql(
            "/it's.tsv", "tsv", ["a", "b"], header=True, newline="\n", longest=9, rejects="enc"
        ),
    )
    golden(
        "rows_pair.sql",
        scan.rows_sql(
            "SELECT * FROM s",
            "enc row",
            ["a", "b", "label"],
            {"a": "VARCHAR", "b": "BLOB"},
            scan.label_sql({"label": "BIGINT"}),
            ["b"],
            "x > 1",
        ),
    )
