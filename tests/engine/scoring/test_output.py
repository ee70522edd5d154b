import pyarrow as pa
import pyarrow.parquet as pq
from enc.engine.scoring import output
from enc.engine.scoring.output import RowGroupWriter
from enc.engine.scoring.parquet_input import ParquetInput

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("score", pa.float32())])


def write(path, sizes, text="x"):
    with RowGroupWriter(path, SCHEMA, "snappy", [SCHEMA.field("score")]) as writer:
        start = 0
        for size in sizes:
            ids = pa.array(range(start, start + size), pa.int64())
            columns = [ids, pa.array([text] * size), pa.array([0.5] * size, pa.float32())]
            writer.write(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
            start += size
    return pq.ParquetFile(path)


def test_small_batches_become_large_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROW_GROUP_ROWS", 100)
    file = write(tmp_path / "x.parquet", [30] * 10)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [120, 120, 60]
    assert file.read().column("id").to_pylist() == list(range(300))
    assert "DICTIONARY" not in str(file.metadata.row_group(0).column(2).encodings)


def test_long_texts_make_shorter_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "ROW_GROUP_BYTES", 10_000)
    file = write(tmp_path / "x.parquet", [10] * 4, text="long " * 200)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [10, 10, 10, 10]


def test_no_rows(tmp_path):
    assert write(tmp_path / "x.parquet", []).read().schema.equals(SCHEMA)


def test_columns_that_had_no_dictionary_get_none(tmp_path):
    path = tmp_path / "x.parquet"
    ids = pa.array(range(100))
    pq.write_table(pa.table({"id": ids, "text": ["x"] * 100}), path, use_dictionary=["text"])
    plain = ParquetInput(str(path)).plain_columns
    assert plain == {"id"}
    with RowGroupWriter(tmp_path / "out.parquet", SCHEMA, "snappy", [SCHEMA.field("score")], plain) as writer:
        columns = [ids, pa.array(["x"] * 100), pa.array([0.5] * 100, pa.float32())]
        writer.write(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    assert [group.column(number).has_dictionary_page for number in range(3)] == [False, True, False]
