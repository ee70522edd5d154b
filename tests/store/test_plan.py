import hashlib

import duckdb
import pytest
from enc.store import plan
from hypothesis import example, given
from hypothesis import strategies as st

TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
CON = duckdb.connect()


def key(*texts: str) -> bytes:
    sql = plan.key_sql("?", "?") if len(texts) == 2 else plan.key_sql("?")
    # The first text of a pair stands twice in the key's expression.
    return CON.execute(f"SELECT {sql}", [texts[0], *texts] if len(texts) == 2 else list(texts)).fetchall()[0][
        0
    ]


@given(TEXTS, TEXTS)
@example("a", "bc")
@example("ab", "c")
def test_keys_tell_texts_and_pairs_apart(a, b):
    assert len(key(a)) == len(key(a, b)) == 32
    assert key(a, b) != key(a + b)
    assert (key(a) == key(b)) == (a == b)
    assert (key(a, b) == key(b, a)) == (a == b)
    for cut in range(len(a + b) + 1):
        other = (a + b)[:cut], (a + b)[cut:]
        assert (key(*other) == key(a, b)) == (other == (a, b))


def test_keys_are_what_other_tools_can_compute():
    # Stores outlive releases: this is the format.
    assert key("好 text") == hashlib.sha256("t好 text".encode()).digest()
    assert key("好", "text") == hashlib.sha256("p3:好text".encode()).digest()


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
    sql = f"SELECT {plan.reason_sql('t', None, 'false')} FROM (SELECT ?::VARCHAR AS t)"
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
    sql = f"SELECT {plan.reason_sql('t', 'p', 'false')} FROM (SELECT ?::VARCHAR AS t, ?::VARCHAR AS p)"
    assert CON.execute(sql, list(pair)).fetchall() == [(reason,)]


def test_held_out_share_is_about_right_and_changes_with_the_seed():
    def held_out(fraction, seed):
        keys = f"SELECT {plan.key_sql('i::VARCHAR')} AS key FROM range(10000) t(i)"
        return {
            row[0]
            for row in CON.sql(
                f"SELECT key FROM ({keys}) WHERE {plan.held_out_sql(fraction, seed)}"
            ).fetchall()
        }

    tenth = held_out(0.1, 1)
    assert 900 < len(tenth) < 1100
    assert tenth < held_out(0.2, 1)  # a larger share keeps the smaller one
    assert held_out(0.1, 2) != tenth


def test_sql_of_names_with_quotes():
    assert plan.quoted('a"b') == '"a""b"'
    assert plan.literal("it's") == "'it''s'"


def test_sql_is_what_it_was(golden):
    golden("scan_tsv.sql", plan.scan_sql("it's.tsv", "tsv", "enc"))
    golden(
        "rows_pair.sql",
        plan.rows_sql("SELECT * FROM s", ["a", "b"], plan.label_sql(["label"]), ["b"], "x > 1"),
    )
    golden("missing.sql", plan.missing_sql("first", ["p1.parquet", "p2.parquet"]))
    golden("labelled.sql", plan.labelled_sql("stage", ["p1.parquet"], "ids", "true"))
