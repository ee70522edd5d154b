import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.engine.scoring.parquet_input import ParquetInput, facts_of
from enc.store import SourceError


@pytest.fixture
def path(tmp_path):
    table = pa.table(
        {"id": list(range(10)), "text": [f"t{i}" for i in range(10)], "n": list(range(3, 23, 2))}
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=4, compression="gzip")
    return str(tmp_path / "in.parquet")


def test_batches_with_numbers(path):
    opened = ParquetInput(path)
    assert (opened.schema.names, opened.compression) == (["id", "text", "n"], "gzip")
    found = list(opened.batches(3, ["text"]))
    assert found[0][0].column(0).to_pylist() == ["t0", "t1", "t2"]
    assert [number for _, numbers in found for number in numbers] == list(range(1, 11))
    without = list(opened.batches(3, []))
    assert sum(batch.num_rows for batch, _ in without) == 10
    opened.close()


def test_numbers_of_a_column(path):
    opened = ParquetInput(path, "n")
    assert opened.schema.names == ["id", "text"]
    found = list(opened.batches(100, ["id"]))
    assert [number for _, numbers in found for number in numbers] == list(range(3, 23, 2))
    assert found[0][0].schema.names == ["id"]


def test_a_file_that_changes(path, tmp_path):
    opened = ParquetInput(path)
    opened.require_unchanged()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "other.parquet")
    os.replace(tmp_path / "other.parquet", path)
    assert sum(batch.num_rows for batch, _ in opened.batches(4, ["id"])) == 10  # what was opened is read
    with pytest.raises(SourceError, match=r"in\.parquet' changed while it was read"):
        opened.require_unchanged()
    os.remove(path)
    assert facts_of(path) is None
    with pytest.raises(SourceError, match="changed"):
        opened.require_unchanged()


def test_what_is_no_parquet_file(tmp_path):
    with pytest.raises(SourceError, match="no file"):
        ParquetInput(str(tmp_path / "none.parquet"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 is not all")
    with pytest.raises(SourceError, match="was cut off"):
        ParquetInput(str(tmp_path / "x.parquet"))
