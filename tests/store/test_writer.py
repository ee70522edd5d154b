import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from enc.store import FeatureTable, writer
from fakes import fake_spec


def test_rows_written_before_an_exception_are_committed(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with pytest.raises(KeyboardInterrupt), feature_table.writer() as appending:
        appending.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
        raise KeyboardInterrupt
    assert FeatureTable(tmp_path / "set").rows == 1


@pytest.mark.parametrize("at_end", [True, False])
def test_an_interruption_during_a_commit_comes_after_it(tmp_path, monkeypatch, at_end):
    feature_table, commit = FeatureTable.create(tmp_path / "set", fake_spec()), FeatureTable.commit
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)

    def interrupted(self, *arguments, **options):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.05)
        return commit(self, *arguments, **options)

    monkeypatch.setattr(FeatureTable, "commit", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), feature_table.writer() as appending:
            appending.write(
                pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
            )
            if not at_end:
                appending.commit()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert FeatureTable(tmp_path / "set").rows == 1
    assert len(list((tmp_path / "set").glob("*.parquet"))) == 1


def test_a_shard_is_invisible_until_it_is_committed(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with feature_table.writer() as appending:
        appending.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
        assert len(list((tmp_path / "set").glob("*.parquet"))) == 1
        assert FeatureTable(tmp_path / "set").rows == 0
    assert FeatureTable(tmp_path / "set").rows == 1


def test_a_failed_write_leaves_no_shard(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with pytest.raises(ValueError, match="shape"), feature_table.writer() as appending:
        appending.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 3))
        )
    assert not list((tmp_path / "set").glob("*.parquet"))
    assert FeatureTable(tmp_path / "set").version == 0


@pytest.mark.parametrize(
    ("limits", "seconds", "versions", "shards"),
    [
        ({"SHARD_BYTES": 1}, 300.0, 2, 6),  # four full ones, and what is left at the end
        ({"SHARD_BYTES": 1, "SHARDS_PER_COMMIT": 1}, 300.0, 6, 6),
        ({}, 0.0, 6, 6),
        ({}, 300.0, 1, 1),
        ({"COMMIT_SECONDS": 0.0}, None, 6, 6),
    ],
)
def test_shards_are_committed_by_size_and_by_time(tmp_path, monkeypatch, limits, seconds, versions, shards):
    for limit, value in limits.items():
        monkeypatch.setattr(writer, limit, value)
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with feature_table.writer(commit_seconds=seconds) as appending:
        for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
            appending.write(
                pa.array([key * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
            )
    assert (feature_table.version, len(feature_table.shards)) == (versions, shards)
    assert FeatureTable(tmp_path / "set").rows == 6


def test_a_commit_that_fails_leaves_none_of_its_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_BYTES", 1)
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())

    def fail(*_, **__):
        raise OSError("no")

    with feature_table.writer() as appending:
        for key in (b"a", b"b"):
            appending.write(
                pa.array([key * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
            )
        monkeypatch.setattr("enc.store.commit.Commit.write", fail)
        with pytest.raises(OSError, match="no"):
            appending.commit()
    assert not list((tmp_path / "set").glob("*.parquet"))


def test_a_long_log_has_a_checkpoint_from_which_it_is_opened(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with feature_table.writer() as appending:
        appending.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
    shard = feature_table.logged[0]
    for _ in range(120):
        feature_table.commit([(Path(shard.path), 1)])
    log = tmp_path / "set" / "_delta_log"
    assert json.loads((log / "_last_checkpoint").read_text())["version"] == 99
    assert FeatureTable(tmp_path / "set").rows == 1


def test_a_full_disk_names_the_shard_and_leaves_none(tmp_path, monkeypatch):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())

    def full(*_, **__):
        raise OSError(28, "Error writing bytes to file")

    with feature_table.writer() as appending:
        appending.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
        monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
        with pytest.raises(OSError, match=r"Error writing bytes to file: '.*set/\.part-.*\.parquet'"):
            appending.commit()
    assert not list((tmp_path / "set").glob("*.parquet"))
    assert FeatureTable(tmp_path / "set").rows == 0
