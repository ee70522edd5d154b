"""Parts: that each key is there once, with its rows, and that a share is read by its row groups alone."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import Share, text_part
from enc.store.text_part import Facts, read_facts, read_share, write_texts
from hypothesis import given, settings
from hypothesis import strategies as st


def key(number: int) -> bytes:
    return number.to_bytes(2, "big") * 16


def written(numbers, batch_rows, path):
    """A part of the texts of these numbers, which come in batches."""
    keys = pa.array([key(number) for number in sorted(numbers)], pa.binary())
    texts = pa.array([f"text {number}" for number in sorted(numbers)], pa.string())
    columns = {"key": keys, "text": texts, "pair": pa.nulls(len(keys), pa.string())}
    table = pa.table({**columns, "rows": np.ones(len(keys), np.int32)})
    batches = table.to_batches(max_chunksize=batch_rows)
    write_texts(path, batches, len(numbers), lambda distinct: Facts("file", "text", None, 0, distinct, 0, {}))
    return path.read_bytes()


def rows_in(part, share):
    rows = []
    for table in read_share(io.BytesIO(part), share, ("text", "rows")):
        rows += [(row["key"], row["text"], row["rows"]) for row in table.to_pylist()]
    return rows


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2**16 - 1), max_size=60), st.integers(1, 7), st.integers(1, 9))
def test_each_key_is_there_once_with_its_rows(tmp_path_factory, numbers, batch_rows, shares):
    part = written(numbers, batch_rows, tmp_path_factory.mktemp("parts") / "part.parquet")
    distinct = sorted(set(numbers))
    expected = [(key(one), f"text {one}", numbers.count(one)) for one in distinct]
    assert rows_in(part, Share()) == expected
    assert read_facts(io.BytesIO(part)).distinct == len(distinct)
    assert [row for n in range(shares) for row in rows_in(part, Share(n + 1, shares))] == expected


def test_a_share_reads_its_row_groups_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(text_part, "_GROUP_ROWS", (64, 64))
    part = written(range(0, 2**16, 8), 1000, tmp_path / "part.parquet")
    groups = pq.ParquetFile(io.BytesIO(part)).metadata
    assert groups.num_row_groups > 100
    spoiled = bytearray(part)
    second = groups.row_group(groups.num_row_groups // 2 + 2).column(0).data_page_offset
    spoiled[second + 40 : second + 80] = bytes(40)
    assert rows_in(bytes(spoiled), Share(1, 2)) == rows_in(part, Share(1, 2))
    with pytest.raises(OSError, match=r"."):
        rows_in(bytes(spoiled), Share(2, 2))


def test_row_groups_are_bounded_by_bytes_too(tmp_path, monkeypatch):
    monkeypatch.setattr(text_part, "_GROUP_BYTES", 1000)
    part = written(range(100), 10, tmp_path / "part.parquet")
    assert pq.ParquetFile(io.BytesIO(part)).num_row_groups > 2
    assert len(rows_in(part, Share())) == 100


def test_a_file_that_is_no_part_is_told():
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(3)}), sink)
    with pytest.raises(ValueError, match="does not say what it is"):
        read_facts(io.BytesIO(sink.getvalue()))
