from pathlib import Path

import pyarrow.parquet as pq
import pytest
from enc.benchmarks import bench_scale
from enc.benchmarks.bench_scale import STEPS, ScaleError, do_step, measure, write_rows


def test_every_step_does_what_it_is_called(tmp_path):
    write_rows(tmp_path / "rows.parquet", 2000)
    for step in STEPS:
        measured = measure(step, tmp_path)
        assert measured["private_mb"] > 0
        assert measured["cpu_seconds"] > 0
    scored = pq.read_table(tmp_path / "scored.parquet")
    assert scored.num_rows == 2000
    assert scored.column("prediction").null_count == 0
    with pytest.raises(ScaleError, match="0 of 2000 rows were encoded"):
        do_step("build", tmp_path)


def test_a_step_that_fails_is_told(tmp_path):
    with pytest.raises(ScaleError, match=r"the step 'plan' failed: .*there is no store"):
        bench_scale._measured("plan", str(tmp_path))


def test_bench_scale(bench, monkeypatch):
    """The steps are made up: a row takes ten microseconds, and ten bytes beside 100 MB."""
    monkeypatch.setattr(bench_scale, "write_rows", lambda path, rows: path.write_text(str(rows)))

    def made_up(step, folder):
        rows = int(Path(folder, "rows.parquet").read_text())
        return {"seconds": 1.0, "cpu_seconds": rows / 100_000, "private_mb": 100 + 10 * rows / 2**20}

    monkeypatch.setattr(bench_scale, "_measured", made_up)
    by_name, saved, printed = bench("scale", "--rows", 1_000_000, "--rows", 10_000_000)
    assert printed.startswith("# scale")
    assert saved["baseline"] == "1,000,000 rows built"
    assert len(by_name) == 2 * len(STEPS)
    remarks = by_name["10,000,000 rows scored"]["remarks"]
    assert remarks["exponent of time"] == "1.00"
    assert remarks["memory of a row added"] == "10 bytes"
    assert "exponent of time" not in by_name["1,000,000 rows scored"]["remarks"]
