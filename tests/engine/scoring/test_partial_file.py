from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine.scoring import output
from enc.engine.scoring.output import RowGroupWriter
from enc.engine.scoring.partial_file import PartialFile, PartialFileError
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = {
    "id": pa.int64(),
    "text": pa.string(),
    "tags": pa.list_(pa.string()),
    "group": pa.dictionary(pa.int32(), pa.string()),
    "at": pa.timestamp("us", "UTC"),
    "nested": pa.struct([("x", pa.float64()), ("y", pa.bool_())]),
    "vector": pa.list_(pa.float32(), 3),
}


def batch_of(names: list[str], rows: int, seed: int) -> pa.RecordBatch:
    values = {
        "id": [seed + n for n in range(rows)],
        "text": [None if n % 5 == 0 else f"text {n % 7} {seed}" for n in range(rows)],
        "tags": [["a", None][: n % 3] for n in range(rows)],
        "group": [f"g{n % 3}" for n in range(rows)],
        "at": [n * 10**9 for n in range(rows)],
        "nested": [{"x": n / 3, "y": n % 2 == 0} for n in range(rows)],
        "vector": [[n, 1.5, seed] for n in range(rows)],
    }
    schema = pa.schema([pa.field(name, COLUMNS[name]) for name in names], {"origin": "test"})
    return pa.RecordBatch.from_arrays([pa.array(values[n], COLUMNS[n]) for n in names], schema=schema)


@given(
    names=st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    codec=st.sampled_from(["zstd", "snappy", "none"]),
    ends=st.sets(st.integers(0, 7)),
    stops=st.sets(st.integers(0, 7)),
)
def test_a_file_of_parts_is_that_of_one_writer(tmp_path_factory, names, sizes, codec, ends, stops):
    """Parts end after some row groups, and after some of these the process does, with rows that are lost."""
    folder = tmp_path_factory.mktemp("files")
    batches = [batch_of(names, rows, seed) for seed, rows in enumerate(sizes)]
    options = batches[0].schema, codec, [pa.field(name, COLUMNS[name]) for name in names[1:]]
    before, output.ROW_GROUP_ROWS = output.ROW_GROUP_ROWS, 30
    try:
        with RowGroupWriter(folder / "whole", *options) as writer:
            for batch in batches:
                writer.write(batch)
        parts, done = [], 0
        file = PartialFile(folder / "parts", *options)
        while done < len(batches):
            number = done
            while number < len(batches):
                is_end = file.write(batches[number])
                number += 1
                if is_end and number in ends:
                    parts.append(file.end_part())
                    done = number
                    if number in stops:
                        break
            else:
                done = len(batches)
                break
            if number < len(batches):
                file.write(batches[number])  # and perhaps a row group that is no part
            file.close()
            file = PartialFile(folder / "parts", *options, parts)
        file.complete(sum(sizes))
        file.close()
    finally:
        output.ROW_GROUP_ROWS = before
    assert (folder / "parts").read_bytes() == (folder / "whole").read_bytes()
    assert pq.read_table(folder / "parts").num_rows == sum(sizes)


def test_what_is_not_there_any_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROW_GROUP_ROWS", 10)
    batch, path = batch_of(["id", "text"], 10, 0), tmp_path / "part"
    options = path, batch.schema, "zstd", []
    with closing(PartialFile(*options)) as file:
        file.write(batch)
        part = file.end_part()
        file.write(batch)
    content = path.read_bytes()
    assert len(content) >= part.end
    for wrong in (content[: part.end - 1], content[:50] + b"?" + content[51:]):
        path.write_bytes(wrong)
        with pytest.raises(PartialFileError, match="is not what was written"):
            PartialFile(*options, [part])
    path.write_bytes(content + b"rubbish")
    with closing(PartialFile(*options, [part])) as file, pytest.raises(PartialFileError, match="the 25 rows"):
        file.complete(25)
