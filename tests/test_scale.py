"""Jobs on more rows than DuckDB can join at once within the memory that enc leaves it."""

import pyarrow.parquet as pq
import pytest
from enc.benchmarks.bench_scale import STEPS, WIDTH, _measured, write_rows
from enc.store.batches import BUFFER_BYTES

ROWS = 6_000_000
CONSTANT_MB = 450
"""The libraries, DuckDB's memory, and the batches that are held at a time."""
ROW_BYTES = {"build": 4, "again": 4, "plan": 16, "train-mapped": 16, "train-streamed": 16, "score": 4}
"""The most that a step holds of each row."""


@pytest.mark.slow
def test_six_million_rows(tmp_path):
    write_rows(tmp_path / "rows.parquet", ROWS)
    for step in STEPS:
        found = _measured(step, str(tmp_path))
        if step in ROW_BYTES:
            buffers_mb = BUFFER_BYTES >> 20 if step == "train-streamed" else 0
            most = CONSTANT_MB + buffers_mb + ROWS * ROW_BYTES[step] / 2**20
            assert found["private_mb"] <= most, f"{step} took {found['private_mb']:.0f} MB, not {most:.0f}"
    assert pq.read_metadata(tmp_path / "scored.parquet").num_rows == ROWS
    assert sum(part.stat().st_size for part in (tmp_path / "store").glob("*/*.parquet")) > WIDTH * ROWS * 2
