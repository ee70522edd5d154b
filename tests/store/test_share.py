import hashlib

import duckdb
import pytest
from enc.store import Source, SourceError
from enc.store.duck import workspace
from enc.store.share import WHOLE, Share
from enc.store.stage import stage_source
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(1, 50), st.lists(st.binary(), min_size=1, max_size=50))
def test_shares_are_the_whole_and_have_nothing_in_common(count, texts):
    keys = sorted({hashlib.sha256(text).digest() for text in texts})
    with duckdb.connect() as con:
        con.execute("CREATE TABLE keys (key BLOB)")
        con.executemany("INSERT INTO keys VALUES (?)", [[key] for key in keys])
        found = [
            con.sql(f"SELECT key FROM keys WHERE {Share(number, count).holds_sql('key')}").fetchall()
            for number in range(1, count + 1)
        ]
    assert sorted(key for share in found for (key,) in share) == keys


def test_the_bounds_are_those_of_equal_parts():
    edges = [bytes(32), b"\x3f" + b"\xff" * 31, b"\x40" + bytes(31), b"\x80" + bytes(31), b"\xff" * 32]
    with duckdb.connect() as con:
        shares = [
            [con.sql(f"SELECT {Share(n, 4).holds_sql('key')} FROM (SELECT ?::BLOB AS key)", params=[key])
             .fetchall()[0][0] for n in range(1, 5)].index(True) + 1
            for key in edges
        ]  # fmt: skip
    assert shares == [1, 1, 2, 3, 4]


def test_a_share_is_divided_again():
    assert [Share(2, 3).part(number, 4) for number in (1, 4)] == [Share(5, 12), Share(8, 12)]


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "-1/8", "1/0", "a/b", "1/2/3", "1/9999999", "1.5/2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(SourceError, match="share"):
        Share.parse(text)


def test_a_share_reads_as_it_is_written():
    assert str(Share.parse(" 3/8 ")) == "3/8"
    assert WHOLE.is_whole


FILES = {
    "rows.tsv": "text\tn\na b\t1\nc\t2\n\t3\nd\te\tf\nlast\t5\nlast\t6\n",
    "rows.csv": 'text,n\na b,1\n"c",2\n,3\nlast,5\nlast,6\n"open,7\n',
    "rows.jsonl": '{"text": "a b"}\n{"text": "c"}\nno json\n{"text": null}\n{"text": "last"}\n',
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("where", [None, "text <> 'c'"])
def test_rows_and_rejects_of_all_shares_add_up(write, file, where):
    source = Source(write(file, FILES[file]), where=where)

    def counts(share: Share) -> tuple[int, int]:
        with workspace() as con:
            stage = stage_source(con, source, share=share)
            texts = con.sql("SELECT count(text) FROM stage").fetchall()[0][0]
            assert texts == stage.rows - stage.rejected
            return stage.rows, stage.rejected

    whole, parts = counts(WHOLE), [counts(Share(number, 3)) for number in (1, 2, 3)]
    assert whole[0] > whole[1] > 0
    assert tuple(map(sum, zip(*parts, strict=True))) == whole
    assert [rejected for _, rejected in parts[1:]] == [0, 0]
