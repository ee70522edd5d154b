"""A flipped bit anywhere in a store: the answer is right or refused, never different.

ENC_FLIPS=N flips N bits in place of some hundreds; see the Makefile's target `faults`.
"""

import json
import os
import random
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from deltalake import DeltaTable
from enc.store import EncError, FeatureTable, plan
from enc.store.batches import MODES
from enc.store.compact import compact
from enc.store.delete import delete
from enc.store.token_batches import planned_features
from feature_sets import RAGGED, add, filled, flip, key_of, lengths_of

FLIPS = int(os.environ.get("ENC_FLIPS", "200"))  # of each layout
NUMBERS = [n for n in range(60) if n != 7]


@pytest.fixture(params=["of one width", "of tokens"])
def folder(tmp_path, monkeypatch, request) -> Path:
    """A table with several shards of several row groups, a checkpoint, and rows that were deleted."""
    monkeypatch.setattr("enc.store.shard_writer.ROW_GROUP_ROWS", 8)
    path = tmp_path / "store" / "set"
    changes = RAGGED if request.param == "of tokens" else {}
    filled(path, range(10), range(10, 20), **changes)
    compact(path)
    add(FeatureTable(path), range(20, 40))
    delete(path, where="n_tokens = 7")
    DeltaTable(path).create_checkpoint()
    add(FeatureTable(path), range(40, 60))
    return path


def answer(folder: Path, mode: str) -> dict[int, np.ndarray]:
    """Features by number, as commands get them: keys are looked up by DuckDB, features served by location."""
    table = FeatureTable(folder)
    shards = table.shards
    with duckdb.connect() as con:
        con.execute("CREATE TABLE stage (key BLOB)")
        con.executemany("INSERT INTO stage VALUES (?)", [[key_of(n)] for n in NUMBERS])
        stored = plan.shard_keys_sql(shards)
        index = f"SELECT key, min(location) FROM ({stored}) SEMI JOIN stage USING (key) GROUP BY key"
        found = con.sql(index).fetchall()
    locations = np.array([location for _, location in found], np.int64)
    features = planned_features(shards, table.spec, locations, batches=mode).take(np.arange(len(found)))
    return {int.from_bytes(key): feature for (key, _), feature in zip(found, features, strict=True)}


def files_of(folder: Path) -> list[Path]:
    """All files of a store, those twice that decide what is read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    current = [Path(shard.path) for shard in FeatureTable(folder).logged]
    return files + current + sorted((folder / "_delta_log").glob("*"))


def test_flipped_bits(folder):
    chosen = random.Random(int(os.environ.get("ENC_FAULTS_SEED", "0")))
    files, counts = files_of(folder), Counter()
    assert sorted(answer(folder, "ram")) == NUMBERS
    for _ in range(FLIPS):
        path, mode = chosen.choice(files), chosen.choice(MODES)
        if not path.stat().st_size:
            continue
        byte, bit = chosen.randrange(path.stat().st_size), chosen.randrange(8)
        kind = "shard" if path.suffix == ".parquet" and path.parent == folder else path.parent.name
        flip(path, byte, bit)
        try:
            got = answer(folder, mode)
        except EncError:
            counts[f"{kind}: refused"] += 1
        else:
            for number, features in got.items():
                tokens = lengths_of([number])[0] if features.ndim == 2 else 1
                wanted = np.zeros((len(features) if features.ndim == 2 else 1, 4))
                wanted[:tokens] = number
                assert features.ravel().tolist() == wanted.ravel().tolist(), (
                    f"byte {byte}, bit {bit} of {path.name}"
                )
            outcome = "right" if len(got) == len(NUMBERS) else "some texts are to be encoded again"
            counts[f"{kind}: {outcome}"] += 1
        flip(path, byte, bit)
    assert sorted(answer(folder, "ram")) == NUMBERS
    assert sum(counts.values()) > FLIPS * 0.9
    report = os.environ.get("ENC_FAULTS_REPORT")
    if report:
        with open(report, "a", encoding="utf-8") as file:
            file.write(json.dumps({"flips": FLIPS, **counts}) + "\n")
