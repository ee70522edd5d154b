"""Writing the features of a file's rows beside its columns, against copying the same bytes.

A Parquet file of made-up texts, all in the store in another order, is written with its features. The floors
are copies by pyarrow: of the store's shards, with their features as opaque bytes, and of the file that enc
wrote, read and written again. The peer is what one would do oneself: DuckDB joins the shards with the file by
their keys, and sorts. Every contender ends when its file is on the disk, not in the page cache alone.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ..engine import write_features
from ..store import FeatureTable, plan
from ..store.files import sync
from .bench_score import write_known
from .random_features import HIDDEN
from .results import Measurement, Results, in_turn, machine

SHARDS = "copy of the store's shards by pyarrow"
_COPY_ROWS = 65_536


def run(*, rows: int, repetitions: int, say: Callable[[str], None]) -> Results:
    """Write so many rows in every format, and copy them."""
    with tempfile.TemporaryDirectory(prefix="enc-bench-") as name:
        folder = Path(name)
        say(f"writing {rows:,} rows and their features")
        write_known(folder, rows)
        _shuffle(folder / "rows.parquet")
        table = FeatureTable(folder / "store" / "random")
        contenders: list[tuple[Measurement, Callable[[], float]]] = [
            (Measurement(SHARDS, "s"), lambda: _seconds(lambda: _copy_shards(table.shards, folder / "copy")))
        ]

        def contend(title: str, work: Callable[[], Path | str], target: str = "") -> None:
            remarks = {"target": target} if target else {}
            contenders.append((Measurement(title, "s", remarks=remarks), lambda: _seconds(work)))

        def enc(out: str, **options: Any) -> Callable[[], Path]:
            def work() -> Path:
                summary = write_features(
                    folder / "rows.parquet", folder / out, table, overwrite=True, **options
                )
                if summary.with_features != rows:
                    raise AssertionError(f"{summary.with_features:,} of {rows:,} rows have features")
                return folder / out

            return work

        contend("enc features, .npy", enc("out.npy"), "3x")
        contend("enc features, .arrow", enc("out.arrow"), "3x")
        contend("enc features, .parquet", enc("out.parquet"), "3x its own copy")
        contend("enc features, .parquet, no columns", enc("bare.parquet", columns=[]))
        contend("copy of enc's .parquet by pyarrow", lambda: _copy(folder / "out.parquet", folder / "copy"))
        contend("DuckDB, join of the shards and sort", lambda: _join(folder, table.shards))
        for measurement, work in contenders:  # the files are in the page cache from here on
            work()
            say(f"ran {measurement.name}")
        in_turn(contenders, repetitions, say)
    settings = {"rows": rows, "features": f"{HIDDEN} float16", "repetitions": repetitions}
    measurements = [measurement for measurement, _ in contenders]
    return Results("features", SHARDS, settings, measurements, machine(), less_is_better=True)


def _seconds(work: Callable[[], Path | str]) -> float:
    """How long it takes until what is written is on the disk; it is removed."""
    started = time.perf_counter()
    path = work()
    sync(path)
    return time.perf_counter() - started


def _shuffle(path: Path) -> None:
    """Put the rows of a Parquet file in another order than the store's."""
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT * FROM read_parquet({plan.literal(str(path))}) ORDER BY hash(id)) "
            f"TO {plan.literal(f'{path}.new')} (FORMAT parquet, COMPRESSION snappy)"
        )
    os.replace(f"{path}.new", path)


def _copy_shards(shards: list[str], out: Path) -> Path:
    """The keys and features of all shards as one file, batch by batch."""
    schema = pq.read_schema(shards[0])
    with pq.ParquetWriter(out, schema, compression="none", use_dictionary=False) as writer:
        for shard in shards:
            for batch in pq.ParquetFile(shard).iter_batches(batch_size=_COPY_ROWS):
                writer.write_table(pa.Table.from_batches([batch], schema))
    return out


def _copy(path: Path, out: Path) -> Path:
    """A Parquet file, read and written again row group by row group."""
    with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            writer.write_table(file.read_row_group(group))
    return out


def _join(folder: Path, shards: list[str]) -> Path:
    out, rows = folder / "joined.parquet", plan.literal(str(folder / "rows.parquet"))
    with duckdb.connect(config={"temp_directory": str(folder)}) as con:
        con.execute(
            f"COPY (SELECT r.* EXCLUDE (nth), f.features FROM "
            f"(SELECT *, row_number() OVER () AS nth FROM read_parquet({rows})) r "
            f"JOIN {plan.shards_sql(shards)} f ON f.key = {plan.key_sql('r.text')} ORDER BY r.nth) "
            f"TO {plan.literal(str(out))} (FORMAT parquet, COMPRESSION uncompressed)"
        )
    return out
