import json

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from enc.store import (
    RECIPES,
    FeatureTable,
    SpecError,
    StoreError,
    create_feature_set,
    default_name,
    feature_set_names,
    open_feature_set,
    table,
)
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


def test_rows_written_before_an_exception_are_committed(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with pytest.raises(KeyboardInterrupt), feature_table.writer() as writer:
        writer.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
        raise KeyboardInterrupt
    assert FeatureTable(tmp_path / "set").rows == 1


def test_a_shard_is_invisible_until_it_is_committed(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with feature_table.writer() as writer:
        writer.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
        )
        assert len(list((tmp_path / "set").glob("*.parquet"))) == 1
        assert FeatureTable(tmp_path / "set").rows == 0
    assert FeatureTable(tmp_path / "set").rows == 1


def test_a_failed_write_leaves_no_shard(tmp_path):
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with pytest.raises(ValueError, match="shape"), feature_table.writer() as writer:
        writer.write(
            pa.array([b"k" * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 3))
        )
    assert not list((tmp_path / "set").glob("*.parquet"))
    assert FeatureTable(tmp_path / "set").version == 0


@pytest.mark.parametrize(("limit", "value"), [("SHARD_BYTES", 1), ("COMMIT_SECONDS", 0.0)])
def test_shards_are_committed_by_size_and_by_time(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(table, limit, value)
    feature_table = FeatureTable.create(tmp_path / "set", fake_spec())
    with feature_table.writer() as writer:
        for key in (b"a", b"b"):
            writer.write(
                pa.array([key * 32], pa.binary()), np.ones(1, np.int32), np.zeros(1, bool), np.zeros((1, 4))
            )
    assert (feature_table.version, len(feature_table.shards)) == (2, 2)


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


def test_catalog(tmp_path):
    store = tmp_path / "store"
    with pytest.raises(StoreError, match="there is no store at"):
        feature_set_names(store)
    create_feature_set(store, "one", fake_spec())
    assert open_feature_set(store).name == "one"
    create_feature_set(store, "two", fake_spec(max_length=9))
    assert feature_set_names(store) == ["one", "two"]
    with pytest.raises(StoreError, match=r"several feature sets \(it has: one, two\)"):
        open_feature_set(store)
    with pytest.raises(StoreError, match=r"no feature set 'three' in .* \(it has: one, two\)"):
        open_feature_set(store, "three")


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        create_feature_set(tmp_path / "file", "set", fake_spec())
    with pytest.raises(StoreError, match="is not a store"):
        create_feature_set(tmp_path, "set", fake_spec())
    for name in ("", "a/b", "..", "_x"):
        with pytest.raises(StoreError, match="cannot name a feature set"):
            create_feature_set(tmp_path / "new", name, fake_spec())
    DeltaTable.create(tmp_path / "s" / "alien", pa.schema([pa.field("x", pa.int64())]))
    with pytest.raises(StoreError, match="not one of enc's"):
        open_feature_set(tmp_path / "s")


@pytest.mark.parametrize(
    ("changes", "layers", "name"),
    [
        (dict(model="minilm", max_length=128, dtype="float16"), 1, "minilm-mean-128"),
        (dict(model="/models/my bert/", pooling=("cls", "max")), 1, "my-bert-cls-max-8-float32"),
        (
            dict(model="org/name", layers=(9, 10, 11, 12), prefix="query: "),
            12,
            "name-mean-layers9to12-8-query-float32",
        ),
        (dict(model="m", layers=(3, 1)), 3, "m-mean-layers3_1-8-float32"),
        (
            dict(model="m", long_text="windows", stride=2, precision="int8"),
            1,
            "m-mean-8-windows2-int8-float32",
        ),
        (dict(model="m", **RECIPES["flat32"], dtype="float16") | dict(layers=(1,)), 1, "m-flat32"),
        (dict(model="m", special_tokens=False), 1, "m-mean-8-bare-float32"),
    ],
)
def test_default_names(changes, layers, name):
    assert default_name(fake_spec(**changes), layers) == name
