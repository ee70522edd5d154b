import pyarrow.parquet as pq
import pytest
from enc.store import Source, SourceError
from enc.store.copying import write_query, write_rows
from enc.store.duck import workspace
from enc.store.stage import stage_source

LINES = [
    b"text,label,Enc Row",
    b"one,a,7",
    b'"a quote that is open,b,8',
    b",c,9",
    b"two,d,10",
    b"three,too,many,columns",
    b"four,e,11",
]


def copied(path, tmp_path, **options):
    with workspace() as con:
        stage = stage_source(con, Source(path, **options), keep_text=False)
        number = write_rows(stage, 0, tmp_path / "rows.parquet")
        rejects = con.sql(f"SELECT row FROM {stage.name}_rejects ORDER BY row").fetchall()
        ids = con.sql(f"SELECT id FROM {stage.name} ORDER BY id").fetchall()
        return pq.read_table(tmp_path / "rows.parquet"), number, rejects, ids, stage


@pytest.mark.parametrize("open_quote", [True, False])
def test_numbers_are_the_ids_of_the_stage(write, tmp_path, open_quote):
    lines = [line for line in LINES if open_quote or b"quote" not in line]
    table, number, _, ids, stage = copied(write("rows.csv", b"\n".join(lines) + b"\n"), tmp_path)
    assert table.column_names == ["text", "label", "Enc Row", number]
    assert table["label"].to_pylist() == ["a", "c", "d", "e"]
    assert [stage.first_ids[0] - 1 + one for one in table[number].to_pylist()] == [one for (one,) in ids]


def test_a_condition_does_not_leave_rows_out_here(write, tmp_path):
    path = write("rows.csv", b"\n".join(line for line in LINES if b"quote" not in line))
    table, number, _, ids, stage = copied(path, tmp_path, where="label = 'd'")
    assert table["label"].to_pylist() == ["a", "c", "d", "e"]
    kept = {one for (one,) in ids}
    assert [
        label for label, one in zip(table["label"].to_pylist(), table[number].to_pylist(), strict=True)
        if stage.first_ids[0] - 1 + one in kept
    ] == ["d"]  # fmt: skip


def test_a_query(tmp_path):
    with workspace() as con:
        source = Source(query="SELECT i AS n, 'x' AS text FROM range(3, 0, -1) r(i)")
        write_query(con, source, tmp_path / "rows.parquet")
        with pytest.raises(SourceError, match="cannot be read"):
            write_query(con, Source(query="SELECT nothing"), tmp_path / "other.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pydict() == {"n": [3, 2, 1], "text": ["x"] * 3}
