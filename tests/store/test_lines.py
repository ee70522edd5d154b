import csv
import io

import pytest
from enc.store import lines
from enc.store.lines import Rejects, header, records, split_quoted
from hypothesis import given
from hypothesis import strategies as st

FIELDS = st.lists(st.text(alphabet='ab", \n', max_size=6), min_size=1, max_size=4)


@given(FIELDS)
def test_quoted_fields_are_those_that_were_written(fields):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="").writerow(fields)
    assert split_quoted(written.getvalue().encode()) == [field.encode() for field in fields]


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"a,b", [b"a", b"b"]),
        (b"a,", [b"a", b""]),
        (b'a "b",c', [b'a "b"', b"c"]),
        (b' "a" ,b', [b"a", b"b"]),
        (b'"a""b"', [b'a"b']),
        (b'"a', lines.NOT_CLOSED),
        (b'"a" b,c', "text after a closing quote"),
        (b'a\rb,"c"', lines.RETURN_INSIDE),
    ],
)
def test_fields_of_a_record(data, fields):
    assert split_quoted(data) == fields


def read(path, format, columns, **options):
    rejects = Rejects()
    options = dict(newline="\n", header_lines=1) | options
    batches = list(records(str(path), format, columns, "nr", rejects=rejects, **options))
    rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    return rows, rejects.table().to_pylist()


def test_a_quote_that_is_never_closed_is_looked_for_only_so_far(write, monkeypatch):
    monkeypatch.setattr(lines, "RECORD_LINES", 2)
    path = write("q.csv", 'a,b\n"1\n2\n3\n4",5\n"6\n7",8\n')
    rows, rejects = read(path, "csv", ["a", "b"])
    assert rows == [('4"', "5", 4), ("6\n7", "8", 5)]
    assert [reject["row"] for reject in rejects] == [1, 2, 3]


def test_batches_are_of_bounded_size(write, monkeypatch):
    monkeypatch.setattr(lines, "BATCH_BYTES", 10)
    path = write("b.tsv", "a\tb\n" + "x\ty\n" * 7)
    rejects = Rejects()
    found = list(records(str(path), "tsv", ["a", "b"], "nr", newline="\n", header_lines=1, rejects=rejects))
    assert [batch.num_rows for batch in found] == [3, 3, 1]


def test_a_header_may_be_of_several_lines(write):
    assert header(str(write("h.csv", '"a\nb",c\n1,2\n')), "csv", "\n") == (["a\nb", "c"], 2)
    assert header(str(write("h.tsv", b"\xef\xbb\xbfa\tb\n1\t2\n")), "tsv", "\n") == (["a", "b"], 1)
    assert header(str(write("x.tsv", b"\xff\t1\n")), "tsv", "\n") == (lines.INVALID_UTF8, 1)
