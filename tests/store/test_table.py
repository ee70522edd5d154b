import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from enc.store import FeatureTable, SpecError, StoreError
from enc.store.batches import MappedFeatures, PlannedFeatures
from fakes import fake_spec


def add(feature_table: FeatureTable, first: int, rows: int) -> None:
    numbers = np.arange(first, first + rows)
    with feature_table.writer() as writer:
        writer.write(
            pa.array([int(n).to_bytes(32) for n in numbers], pa.binary()),
            np.full(rows, 3, np.int32),
            np.zeros(rows, bool),
            np.repeat(numbers[:, None], 4, axis=1).astype(np.float32),
        )


def test_create_open_and_append(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    assert (feature_table.rows, feature_table.version, feature_table.shards) == (0, 0, [])
    add(feature_table, 0, 10)
    assert (feature_table.rows, feature_table.version) == (10, 1)
    again = FeatureTable(tmp_path / "set")
    assert again.spec == fake_spec()
    assert again.rows == 10
    assert again.bytes > 10 * 16
    assert json.loads((tmp_path / "set" / "spec.json").read_text())["digest"] == fake_spec().digest


def test_stale_handles_both_append(tmp_path):
    first, second = (
        FeatureTable.create(tmp_path / "set", fake_spec()),
        FeatureTable.create(tmp_path / "set", fake_spec()),
    )
    add(first, 0, 5)
    add(second, 5, 5)
    assert first.refresh().rows == second.rows == 10


def test_delta_readers_see_the_rows(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    add(feature_table, 0, 3)
    rows = pa.table(DeltaTable(tmp_path / "set").to_pyarrow_table()).sort_by("key")
    assert rows.column("n_tokens").to_pylist() == [3, 3, 3]
    assert np.frombuffer(rows.column("features")[2].as_py(), "<f4").tolist() == [2, 2, 2, 2]


def test_another_setting_is_refused_by_name(tmp_path):
    FeatureTable.create(tmp_path / "set", fake_spec())
    FeatureTable.create(tmp_path / "set", fake_spec(model="renamed"))
    with pytest.raises(SpecError, match=r"'set' has another setting \(max_length: 8, not 9\)"):
        FeatureTable.create(tmp_path / "set", fake_spec(max_length=9))


def test_features_are_found_by_location(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    add(feature_table, 0, 5)
    add(feature_table, 5, 7)
    starts = {
        int(MappedFeatures(feature_table.shards, fake_spec()).take(np.array([s << 40]))[0, 0]): s
        for s in range(2)
    }
    locations = np.array(
        [(starts[0] << 40) | 4, (starts[5] << 40) | 6, (starts[5] << 40) | 0, (starts[0] << 40) | 4]
    )
    expected = np.array([4, 11, 5, 4])
    np.testing.assert_array_equal(
        MappedFeatures(feature_table.shards, fake_spec()).take(locations)[:, 2], expected
    )
    for batches in ("ram", "mapped", "streamed"):
        planned = PlannedFeatures(feature_table.shards, fake_spec(), locations, batches=batches)
        np.testing.assert_array_equal(planned.take(np.array([3, 1]))[:, 0], expected[[3, 1]])
        np.testing.assert_array_equal(np.concatenate(list(planned.blocks(3)))[:, 0], expected)


def test_deleted_rows_leave_a_shard_that_is_still_read(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    add(feature_table, 0, 6)
    DeltaTable(tmp_path / "set").delete("n_tokens = 3 AND key = x'" + (2).to_bytes(32).hex() + "'")
    assert feature_table.refresh().rows == 5
    kept = MappedFeatures(feature_table.shards, fake_spec()).take(np.arange(5))
    assert sorted(kept[:, 0].tolist()) == [0, 1, 3, 4, 5]


def test_a_table_or_its_path(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    assert FeatureTable.of(feature_table) is feature_table
    assert FeatureTable.of(str(tmp_path / "set")).spec == fake_spec()
    assert repr(feature_table) == f"FeatureTable({str(tmp_path / 'set')!r}, version=0, rows=0)"


@pytest.mark.parametrize("folder", ["a b", "ü 中文", "a#b", "a?b", "100%", "a[1]*"])
def test_any_folder_will_do(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / folder / "set", Path(folder, "relative")):
        feature_table = FeatureTable.create(path, fake_spec())
        add(feature_table, 0, 5)
        add(FeatureTable(path), 5, 5)
        again = FeatureTable(path)
        features = MappedFeatures(again.shards, fake_spec()).take(np.array([1, (1 << 40) + 1]))
        assert sorted(features[:, 0]) == [1, 6]
        assert all(Path(shard).is_file() for shard in again.shards)


def test_a_folder_that_delta_would_take_for_another_is_refused(tmp_path):
    for path in (tmp_path / "a%20b" / "set", tmp_path / "set%41"):
        with pytest.raises(StoreError, match=r"'%[24][01]' in a path is not told from a URL's; rename it"):
            FeatureTable.create(path, fake_spec())
    assert not list(tmp_path.iterdir())


def test_a_damaged_log_is_called_that(tmp_path):
    add(FeatureTable.create(tmp_path / "set", fake_spec()), 0, 3)
    (tmp_path / "set" / "_delta_log" / f"{0:020}.json").write_text("{broken")
    with pytest.raises(
        StoreError, match=r"the log of feature set '.*set' cannot be read \(.*restore '.*_delta_log'"
    ) as caught:
        FeatureTable(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_threads_create_one_table_at_the_same_time(tmp_path):
    together = threading.Barrier(8)

    def create(number: int) -> FeatureTable:
        together.wait()
        feature_table = FeatureTable.create(tmp_path / "store" / "set", fake_spec())
        add(feature_table, number * 5, 5)
        return feature_table

    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(create, range(8)))
    assert {feature_table.refresh().rows for feature_table in tables} == {40}


def test_a_folder_in_which_a_table_was_begun_is_gone_on_with(tmp_path):
    (tmp_path / "set" / "_delta_log").mkdir(parents=True)
    add(FeatureTable.create(tmp_path / "set", fake_spec()), 0, 3)
    assert FeatureTable(tmp_path / "set").rows == 3
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("x")
    with pytest.raises(StoreError, match="holds other files"):
        FeatureTable.create(tmp_path / "letters", fake_spec())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot make the feature set '.*file/set': .*Not a directory"):
        FeatureTable.create(tmp_path / "file" / "set", fake_spec())
