"""Files as nobody would wish for them: every line is a row or a counted reject, and none is a wrong row."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError
from enc.store.duck import workspace
from enc.store.stage import stage_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data"
SEPARATORS = {"tsv": "\t", "csv": ","}
GZIPPED = gzip.compress(b"PAR1", mtime=0)  # it is in a test's name, which must be the same for all workers


@pytest.fixture
def con():
    with workspace() as connection:
        yield connection


def staged(con, source, name="stage", **options):
    """The stage, its rows (row, text, label) and its rejects (row, reason)."""
    stage = stage_source(con, source, name, **options)
    rows = con.sql(f"SELECT row, text, label FROM {name} WHERE key IS NOT NULL ORDER BY id").fetchall()
    rejects = con.sql(f"SELECT row, reason FROM {name}_rejects ORDER BY row").fetchall()
    assert len(rows) + len(rejects) == stage.rows
    return stage, rows, rejects


NAMES = ["enc_row", "ENC_ROW", "file_row_number", "File_Row_Number", "filename", "file_index", "enc row"]
NAMES += ["row", "key", "id", "source", "reason", "pair"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", [None, "label <> 'w'"])
def test_no_column_of_the_user_is_taken_for_one_of_ours(con, tmp_path, name, where):
    table = pa.table({"text": ["a", "b", "c"], name: [2, 1, 0], "label": ["x", "y", "z"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.tsv").write_text(f"text\t{name}\tlabel\na\t2\tx\nb\t1\ty\nc\t0\tz\n")
    for number, file in enumerate(("t.parquet", "t.tsv")):
        source = Source(tmp_path / file, where=where)
        _, rows, _ = staged(con, source, f"s{number}", label_column="label")
        assert rows == [(1, "a", "x"), (2, "b", "y"), (3, "c", "z")]


@pytest.mark.parametrize("folder", ["text=foo", "label=1", "year=1", "key=2"])
def test_a_folders_name_is_no_column(con, tmp_path, folder):
    path = tmp_path / folder
    path.mkdir()
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), path / "t.parquet")
    (path / "t.tsv").write_text("text\tlabel\na\tx\nb\ty\n")
    (path / "t.csv").write_text("text,label\na,x\nb,y\n")
    (path / "t.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    for file in ("parquet", "tsv", "csv", "jsonl"):
        _, rows, _ = staged(con, Source(path / f"t.{file}"), file, label_column="label")
        assert rows == [(1, "a", "x"), (2, "b", "y")]
    with pytest.raises(SourceError, match="column 'year' is not in"):
        stage_source(con, Source(path / "t.parquet", text_column="year"), "other")


@pytest.mark.parametrize("name", ["a*", "a?", "a[b]", "it's ü 中文 #%"])
@pytest.mark.parametrize("where", [None, "label = 'x'"])
def test_a_path_that_exists_is_that_path(con, tmp_path, name, where):
    for other in ("ab", "a*", "a?", "a[b]", "it's ü 中文 #%"):
        (tmp_path / f"{other}.tsv").write_text(f"text\tlabel\n{other}\tx\n")
        pq.write_table(pa.table({"text": [other], "label": ["x"]}), tmp_path / f"{other}.parquet")
    for ending in ("tsv", "parquet"):
        _, rows, _ = staged(
            con, Source(tmp_path / f"{name}.{ending}", where=where), ending, label_column="label"
        )
        assert rows == [(1, name, "x")]


def lines(format, count, quotes=False):
    mark = '"' if quotes else ""
    return [f"{mark}text {i}{mark}{SEPARATORS[format]}{i % 2}" for i in range(count)]


@pytest.mark.parametrize("quotes", [False, True])
def test_one_quote_that_is_not_closed_costs_one_row(con, write, quotes):
    good = lines("csv", 5000, quotes)
    path = write("q.csv", "\n".join(["text,label", *good, '"open,1', *good]) + "\n")
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert rejects == [(5001, "line 5002 is malformed: a quote is not closed")]
    assert [row[0] for row in rows] == [*range(1, 5001), *range(5002, 10002)]
    assert rows[-1] == (10001, "text 4999", "1")


def test_a_stray_quote_early_in_a_file(con, write):
    good = lines("csv", 3000, quotes=True)
    path = write("q.csv", "\n".join(["text,label", good[0], '"he" said,1', 'he said "no,0', *good]) + "\n")
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert rejects == [(2, "line 3 is malformed: text after a closing quote")]
    assert rows[:3] == [(1, "text 0", "0"), (3, 'he said "no', "0"), (4, "text 0", "0")]
    assert len(rows) == 3002


@pytest.mark.parametrize("format", ["tsv", "csv"])
@pytest.mark.parametrize(("most", "one"), [("\n", "\r\n"), ("\r\n", "\n")])
def test_mixed_line_ends(con, write, format, most, one):
    good = lines(format, 3000)
    content = most.join([f"text{SEPARATORS[format]}label", *good[:2000]]) + most + good[0] + one
    path = write(f"m.{format}", content + most.join(good[2000:]) + most)
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert not rejects
    assert [row[0] for row in rows] == list(range(1, 3002))
    assert rows[1999:2002] == [(2000, "text 1999", "1"), (2001, "text 0", "0"), (2002, "text 2000", "0")]


@pytest.mark.parametrize("format", ["tsv", "csv"])
def test_a_carriage_return_within_a_line_costs_one_row(con, write, format):
    good = lines(format, 3000)
    bad = f"x\rx{SEPARATORS[format]}1"
    path = write(
        f"c.{format}", "\n".join([f"text{SEPARATORS[format]}label", *good[:9], bad, *good[9:]]) + "\n"
    )
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert rejects == [(10, "line 11 is malformed: a carriage return inside the line")]
    assert len(rows) == 3000


@pytest.mark.parametrize("format", ["tsv", "csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end(con, write, format, end):
    content = end.join([f"text{SEPARATORS[format]}label", *lines(format, 50)])
    for number, last in enumerate(("", end)):
        _, rows, rejects = staged(
            con, Source(write(f"{number}.{format}", content + last)), f"s{number}", label_column="label"
        )
        assert (len(rows), rejects, rows[49]) == (50, [], (50, "text 49", "1"))


def test_lines_with_nothing_on_them_are_counted(con, write):
    path = write("e.tsv", "text\tlabel\na\t1\n\n\nb\t0\n\n\n")
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert rows == [(1, "a", "1"), (4, "b", "0")]
    assert rejects == [(2, "line is empty"), (3, "line is empty")]


def test_very_long_texts_are_rows(con, write):
    long = "x" * 3_000_000
    for format, separator in SEPARATORS.items():
        path = write(
            f"l.{format}", f"text{separator}label\na{separator}1\n{long}{separator}0\nb{separator}1\n"
        )
        _, rows, rejects = staged(con, Source(path), format, label_column="label")
        assert [(row, len(text)) for row, text, _ in rows] == [(1, 1), (2, 3_000_000), (3, 1)]
        assert not rejects


def test_a_text_that_no_tokenizer_could_hold_is_a_reject(con, write):
    texts = ["a", "y" * 50_000_000, "b", "z" * (4 << 20)]
    path = write("l.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    _, rows, rejects = staged(con, Source(path))
    assert [(row, len(text)) for row, text, _ in rows] == [(1, 1), (3, 1), (4, 4 << 20)]
    assert rejects == [(2, "text is longer than 4 MB")]


def test_json_lines_that_are_no_objects_are_rejects(con, write):
    bad = ['{"text": "a"', "garbage", "[1]", '"text"', "5", "null", '{"label": 1}']
    path = write("j.jsonl", "\n".join(['{"text": "a", "label": 1}', *bad, '{"text": "b", "label": "c"}']))
    _, rows, rejects = staged(con, Source(path), label_column="label")
    assert rows == [(1, "a", "1"), (9, "b", "c")]
    assert rejects == [(row, "text is null, or the line is not JSON") for row in range(2, 9)]


def test_a_json_array_is_read(con, write):
    for number, indent in enumerate((None, 1)):
        path = write(f"{number}.json", json.dumps([{"text": "a"}, {"text": "b"}], indent=indent))
        assert staged(con, Source(path), f"s{number}")[1] == [(1, "a", None), (2, "b", None)]


PARQUET = b"PAR1" + bytes(40) + b"\4\0\0\0PAR1"
JSON_LINE = '{"text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", "text\na\n".encode("utf-16"), "is not UTF-8 .it looks like UTF-16.; convert it: iconv"),
        ("t.csv", "text,label\na,1\n".encode("utf-16-le"), "looks like UTF-16"),
        ("t.jsonl", JSON_LINE.encode("utf-16"), "looks like UTF-16"),
        ("t.jsonl", b"\xef\xbb\xbf" + JSON_LINE.encode(), "begins with a byte-order mark"),
        ("t.jsonl", b'{\n"text": "a"\n}\n', "has no line with a JSON object"),
        ("t.tsv", b"", "is empty: there is no header line"),
        ("t.csv", "文本,label\n好,1\n".encode("gb18030"), r"is it GB18030\? .* > t-utf8.csv"),
        ("t.parquet", b"", "is empty, and no Parquet file; write it again"),
        ("t.parquet", b"PAR1", "was cut off: .* write it again"),
        ("t.parquet", b"\x93\x01\x02", "does not begin with 'PAR1'.* pass --format tsv, csv or jsonl"),
        ("t.parquet", b"text\tlabel\na\t1\n", "does not begin with 'PAR1'"),
        ("t.parquet.gz", GZIPPED, "compressed as a whole.* unpack it: gunzip .*parquet.gz"),
        ("t.parquet", b"PAR1" + bytes(20) + b"\xff\xff\xff\x0fPAR1", "was cut off"),
        ("t.parquet", b"PAR1" + bytes(40) + b"\4\0\0\0PAR1", "damaged, copy or write it again"),
        ("t.tsv", PARQUET, "is a Parquet file; pass --format parquet"),
        ("t.jsonl", PARQUET, "is a Parquet file; pass --format parquet"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_called_what_it_is(con, write, name, content, message):
    with pytest.raises(SourceError, match=message) as caught:
        stage_source(con, Source(write(name, content)))
    assert "\n" not in str(caught.value)


def test_one_bad_byte_in_a_dictionary(con, tmp_path):
    values = pa.array([b"good", b"\xff", b"also"], pa.binary()).buffers()
    texts = pa.Array.from_buffers(pa.string(), 3, values)
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0], pa.int32()), texts)
    pq.write_table(pa.table({"text": column, "label": column}), tmp_path / "d.parquet")
    for number, where in enumerate((None, "label <> 'z'")):
        source = Source(tmp_path / "d.parquet", where=where)
        _, rows, rejects = staged(con, source, f"s{number}", label_column="label")
        assert rows == [(1, "good", "good"), (3, "also", "also"), (4, "good", "good")]
        assert rejects == [(2, "invalid UTF-8")]


@pytest.mark.parametrize(
    "column", [pa.array([{"a": 1}]), pa.array([["a"]]), pa.array([[("a", 1)]], pa.map_("string", "int8"))]
)
def test_a_column_of_several_values_is_no_text(con, tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "s.parquet")
    with pytest.raises(SourceError, match=r"holds values of type .*, not texts; name another column"):
        stage_source(con, Source(tmp_path / "s.parquet"))


def test_a_header_that_looks_like_data(con, write):
    path = write("n.tsv", "the room was very nice\t1\nthe room was bad\t0\n")
    with pytest.raises(SourceError, match=r"is the text\? .*look like data: .* pass --no-header"):
        stage_source(con, Source(path))
    with pytest.raises(SourceError, match=r"column 'x' is not in .* pass --no-header"):
        stage_source(con, Source(path, text_column="x"), "x")
    source = Source(path, text_column="column0", has_header=False)
    _, rows, _ = staged(con, source, "s", label_column="column1")
    assert rows == [(1, "the room was very nice", "1"), (2, "the room was bad", "0")]
    with pytest.raises(SourceError, match=r"pass --text-column$"):
        stage_source(con, Source(write("h.tsv", "body\tlabel\na\t1\n")), "other")


def test_a_columns_name_that_is_no_text(con, tmp_path):
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": ["x"]}), path)
    path.write_bytes(path.read_bytes().replace(b"label", b"labe\xec"))
    with pytest.raises(SourceError, match=r"n\.parquet"):
        stage_source(con, Source(path))


def test_rows_that_a_file_says_it_has_and_has_not(con, tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    more = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["a", "b", "c"]}), more)
    said = pq.read_metadata(pa.BufferReader(more.getvalue()))
    monkeypatch.setattr("enc.store.page_sizes.pq.read_metadata", lambda _: said)
    with pytest.raises(SourceError, match="2 rows were found in it, and it says that there are 3"):
        stage_source(con, Source(path))


def test_nulls_that_a_damaged_file_denies(con):
    """DuckDB reads three nulls in this file, and believes its footer that there are none."""
    with pytest.raises(SourceError, match="is damaged: 3 rows have no text where it says that they have one"):
        stage_source(con, Source(DATA / "denies-its-nulls.parquet"))


def test_a_columns_name_of_two_lines_makes_a_message_of_one(con, write):
    with pytest.raises(SourceError) as caught:
        stage_source(con, Source(write("h.csv", '"a\nb\x1b[31m",c\n1,2\n')))
    assert r"a\nb\x1b[31m" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    content=st.lists(st.sampled_from([bytes([byte]) for byte in b'a1\t,"\n\r\xff ']), max_size=40),
    format=st.sampled_from(["tsv", "csv"]),
)  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_and_rejects_are_all_lines(con, tmp_path, content, format):
    path = tmp_path / f"f.{format}"
    path.write_bytes(f"text{SEPARATORS[format]}label\n".encode() + b"".join(content))
    for table in ("fuzz", "fuzz_rejects", "fuzz_files"):
        con.execute(f"DROP TABLE IF EXISTS {table}")
    stage, rows, rejects = staged(con, Source(path), "fuzz", label_column="label")
    numbers = sorted([row[0] for row in rows] + [row[0] for row in rejects])
    assert numbers == list(range(1, stage.rows + 1))
    if format == "tsv":  # no row is of several lines
        body = b"".join(content).rstrip(b"\r\n")
        ends = body.count(b"\n")
        if b"\r" not in b"".join(content).replace(b"\r\n", b"\n"):
            assert stage.rows == (ends + 1 if body else 0)
