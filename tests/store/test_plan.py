import hashlib

import duckdb
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


def test_a_path_is_a_glob_of_itself_alone():
    assert plan.exact_path("/a/it's [1]*?.tsv") == "'/a/it''s [[]1][*][?].tsv'"


def test_sql_is_what_it_was(golden):
    golden("shard_keys.sql", plan.shard_keys_sql(["/s/p1.parquet", "/s/p2.parquet"]))
    golden("rows.sql", plan.rows_sql("stage", "id, label", "x > 1"))
