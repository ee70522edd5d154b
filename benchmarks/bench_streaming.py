"""Private memory of a streamed epoch by number of rows: the buffer, and 12 bytes a row for the plan.

Usage: python -m enc.benchmarks.bench_streaming [ROWS …]

Each run is a process of its own over pooled random features (384 float16). Its private memory
(RssAnon) is looked at after every batch; the page cache, which any process may reclaim, is not in it.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ..store import FeatureTable
from ..store.batches import BUFFER_BYTES, PlannedFeatures
from .random_features import locations_of, write_features


def measure(folder: Path) -> dict[str, float]:
    """Read two epochs of a feature set.

    Gives the private memory in MB, before and at its highest, and the rows a second of the second epoch.
    """
    table = FeatureTable(folder)
    before, peak, started = private_megabytes(), 0.0, 0.0
    planned = PlannedFeatures(table.shards, table.spec, locations_of(table.shards), batches="streamed")
    for epoch in range(2):
        started, sums = time.perf_counter(), np.zeros(2, np.int64)
        for positions, _ in planned.epoch(1, epoch, 4096):
            sums += len(positions), positions.sum()
            peak = max(peak, private_megabytes())
        assert sums.tolist() == [planned.rows, planned.rows * (planned.rows - 1) // 2]  # every row once
    return {
        "rows": planned.rows,
        "features_mb": round(planned.rows * table.spec.row_bytes / 2**20),
        "buffer_mb": BUFFER_BYTES >> 20,
        "private_mb_before": round(before),
        "private_mb_peak": round(peak),
        "rows_per_second": round(planned.rows / (time.perf_counter() - started)),
    }


def private_megabytes() -> float:
    """Resident memory of this process that no file is behind."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def main() -> None:
    """Write a feature set of each size, and measure reading it in a fresh process."""
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    for rows in [int(a) for a in sys.argv[1:]] or [1_000_000, 4_000_000]:
        with tempfile.TemporaryDirectory(prefix="enc-bench-") as folder:
            write_features(Path(folder) / "features", tokens=False, rows=rows)
            subprocess.run([sys.executable, "-m", __spec__.name, "--read", f"{folder}/features"], check=True)


if __name__ == "__main__":
    main()
