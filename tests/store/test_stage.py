import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError
from enc.store.duck import workspace
from enc.store.lookup import NOWHERE, look_up
from enc.store.stage import rejects_path, stage_source


@pytest.fixture
def con():
    with workspace() as connection:
        yield connection


def rows(con, columns="row, text, label", table="stage"):
    return con.sql(f"SELECT {columns} FROM {table} ORDER BY source, row").fetchall()


def rejects(con):
    return con.sql("SELECT source, row, reason FROM stage_rejects ORDER BY source, row").fetchall()


def test_tsv_is_read_as_glue_writes_it(con, write):
    path = write("g.tsv", b'\xef\xbb\xbfsentence\tlabel\nhe said "no\t0\n"quoted" text \t1\nback\\slash\t1\n')
    stage = stage_source(con, Source(path), label_column="label")
    assert rows(con) == [(1, 'he said "no', "0"), (2, '"quoted" text ', "1"), (3, "back\\slash", "1")]
    assert (stage.rows, stage.rejected, stage.typed, stage.text_column) == (3, 0, False, "sentence")
    assert stage.write_rejects(path.with_name("rejects.parquet")) is None


def test_csv_is_read_with_quotes(con, write):
    stage_source(
        con, Source(write("g.csv", 'text,label\n"a, ""b""",x\n"two\nlines",y\n')), label_column="label"
    )
    assert rows(con) == [(1, 'a, "b"', "x"), (2, "two\nlines", "y")]


def test_unusable_rows_are_kept_with_their_row_and_reason(con, write, tmp_path):
    bad = (
        b"sentence\tlabel\nfine\t1\nonly one field\n\t1\ntoo\tmany\tfields\n\xff\xfe\t0\n \t0\nfine too\t0\n"
    )
    first, second = write("a.tsv", bad), write("b.tsv", b"sentence\tlabel\n\t1\n")
    stage = stage_source(con, Source([first, second]), label_column="label")
    assert (stage.rows, stage.rejected) == (8, 6)
    found = rejects(con)
    assert [(source, row) for source, row, _ in found] == [(0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 1)]
    reasons = [reason for _, _, reason in found]
    assert reasons[0].startswith("line 3 is malformed: missing columns")
    assert reasons[2].startswith("line 5 is malformed: too many columns")
    assert (reasons[1], reasons[3], reasons[4]) == ("text is null", "invalid UTF-8", "text is empty")
    assert stage.first_reject().startswith(f"{first}, row 2: line 3 is malformed")
    assert stage.reasons()["text is null"] == 2

    path = stage.write_rejects(tmp_path / "out" / "r.parquet")
    written = pq.read_table(path).to_pylist()
    assert [(r["source"], r["row"]) for r in written] == [(str(first), r) for r in range(2, 7)] + [
        (str(second), 1)
    ]
    assert [p.name for p in path.parent.iterdir()] == ["r.parquet"]


def test_jsonl(con, write):
    lines = [
        json.dumps({"text": "a", "label": 1}),
        "{broken",
        json.dumps({"text": None, "label": 2}),
        '{"text": "b\\u0020c"}',
    ]
    stage = stage_source(con, Source(write("x.jsonl", "\n".join(lines))), label_column="label")
    assert [r for r in rows(con) if r[1]] == [(1, "a", "1"), (4, "b c", None)]
    assert [(row, reason) for _, row, reason in rejects(con)] == [
        (2, "text is null, or the line is not JSON"),
        (3, "text is null, or the line is not JSON"),
    ]
    assert stage.typed


def invalid_strings(*values: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


@pytest.mark.parametrize("as_bytes", [False, True])
def test_parquet_with_invalid_utf8(con, tmp_path, as_bytes):
    texts = invalid_strings(b"good", b"\xff\xfe", "好".encode())
    other = invalid_strings(b"x", b"\xc3", b"z")
    table = pa.table(
        {"text": texts.view(pa.binary()) if as_bytes else texts, "other": other, "label": [1, 2, 3]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    stage = stage_source(con, Source(tmp_path / "t.parquet", where="label > 0"), label_column="label")
    assert [r for r in rows(con) if r[1]] == [(1, "good", "1"), (3, "好", "3")]
    assert rejects(con) == [(0, 2, "invalid UTF-8")]
    assert stage.label_type == "BIGINT"


def test_rows_keep_their_number_under_a_filter(con, tmp_path):
    pq.write_table(pa.table({"text": ["a", "b", "c"], "n": [1, 2, 3]}), tmp_path / "t.parquet")
    stage = stage_source(con, Source(tmp_path / "t.parquet", where="n = 1 OR n = 3"))
    assert rows(con, "row, text") == [(1, "a"), (3, "c")]
    assert stage.rows == 2


@pytest.mark.parametrize("where", ["false", "text = 'z'"])
def test_a_filter_may_leave_no_row(con, write, where):
    stage = stage_source(con, Source([write("a.tsv", "text\na\n"), write("b.tsv", "text\nb\n")], where=where))
    assert (stage.rows, stage.rejected) == (0, 0)


def test_query(con, tmp_path):
    stage = stage_source(
        con,
        Source(query="SELECT 'text ' || i AS body, i % 2 AS y FROM range(3) t(i)", text_column="body"),
        label_column="y",
    )
    assert rows(con) == [(1, "text 0", "0"), (2, "text 1", "1"), (3, "text 2", "0")]
    assert (stage.typed, stage.source.title) == (True, "the query")


def test_pairs_and_texts_have_other_keys(con, write):
    path = write("p.tsv", "a\tb\nx\ty\nx\t\n")
    stage_source(con, Source(path, text_column="a"), "single")
    stage_source(con, Source(path, text_column="a", pair_column="b"), "stage")
    single = {r[0] for r in rows(con, "key", "single")}
    paired = [r[0] for r in rows(con, "key")]
    assert len(single) == 1
    assert paired[0] not in single
    assert paired[1] is None  # a null second text
    assert rejects(con) == [(0, 2, "text is null")]


def test_texts_are_not_kept_unless_wanted(con, write):
    stage_source(con, Source(write("x.tsv", "text\na\n")), keep_text=False)
    assert rows(con, "text, pair, octet_length(key)") == [(None, None, 32)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(text_column="nope"), r"column 'nope' is not in .*x\.tsv \(it has: a, b\); pass --text-column"),
        (dict(), r"which column of .*x\.tsv is the text\? it has: a, b"),
        (dict(text_column="a", pair_column="c"), r"column 'c' .*pass --pair-column"),
        (dict(text_column="a", where="zzz = 1"), r"x\.tsv cannot be read: .*zzz.*Candidate bindings"),
        (dict(text_column="a", format="parquet"), r"x\.tsv is no Parquet file: .*pass --format"),
    ],
)
def test_errors_name_the_thing(con, write, options, message):
    with pytest.raises(SourceError, match=message):
        stage_source(con, Source(write("x.tsv", "a\tb\n1\t2\n"), **options))


def test_label_column_must_be_there(con, write):
    with pytest.raises(SourceError, match=r"column 'label' is not in .*pass --label-column"):
        stage_source(con, Source(write("x.tsv", "text\tb\n1\t2\n")), label_column="label")


def test_a_bad_query_is_one_line(con):
    with pytest.raises(SourceError, match=r"^the query cannot be read: syntax error") as caught:
        stage_source(con, Source(query="SELEC 1"))
    assert "\n" not in str(caught.value)


def test_rejects_lie_beside_the_store(tmp_path):
    first, second = (rejects_path(tmp_path / "features", "set") for _ in range(2))
    assert first.parent == tmp_path / "features.rejects"
    assert first != second


def test_located_rows_are_in_source_order(con, write):
    stage = stage_source(con, Source(write("x.tsv", "text\nb\n\na\n")))
    assert look_up(stage, []).locations.tolist() == [NOWHERE] * stage.rows
