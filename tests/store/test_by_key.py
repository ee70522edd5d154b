"""Shards in the order of their keys, what the log says of them, and who leaves out which."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from enc.store import (
    FeatureTable,
    Source,
    Store,
    StoreError,
    WorkspaceError,
    by_key,
    shard_keys,
    stored_keys,
    writer,
)
from enc.store.compact import compact
from enc.store.duck import workspace
from enc.store.errors import DamagedShard
from enc.store.key_bounds import ANYWHERE, Bounds, LoggedBounds, depth_of, of_metadata
from enc.store.listed_shards import Wanted, bounds_of, spans_of
from enc.store.lookup import NOWHERE, look_up
from enc.store.mapped import MappedFeatures
from enc.store.shard_file import is_finished_name
from enc.store.stage import stage_source
from enc.store.token_rows import TokenRows
from enc.store.vacuum import vacuum
from enc.store.verify import verify
from fakes import fake_spec
from feature_sets import flip, page_start
from hypothesis import given
from hypothesis import strategies as st


def text_of(number):
    return f"text {number}"


def key_of(number):
    return hashlib.sha256(f"t{text_of(number)}".encode()).digest()


def add(table, numbers):
    with table.writer() as appending:
        appending.write(
            pa.array([key_of(n) for n in numbers], pa.binary()),
            np.array(numbers, np.int32),
            np.array([n % 3 == 0 for n in numbers]),
            np.repeat(np.array(numbers)[:, None], 4, axis=1).astype(np.float32),
        )


def filled(folder, *shards):
    table = FeatureTable.create(folder, fake_spec())
    for numbers in shards:
        add(table, numbers)
    return table


def rows_of(folder):
    """Every row of a table that readers see: key, n_tokens, truncated and first feature, in key order."""
    table = FeatureTable(folder)
    found = {}
    for number, shard in enumerate(table.shards):
        rows = pq.read_table(shard)
        locations = (np.int64(number) << 40) + np.arange(len(rows))
        features = MappedFeatures(table.shards, table.spec).take(locations)[:, 0].tolist()
        columns = [rows.column(name).to_pylist() for name in ("key", "n_tokens", "truncated")]
        for key, *others in zip(*columns, features, strict=True):
            found.setdefault(key, tuple(others))
    return sorted(found.items())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store" / "set"


@pytest.fixture
def small(monkeypatch):
    """Shards and blocks of a few rows."""
    monkeypatch.setattr(writer, "SHARD_BYTES", 53 * 20)
    monkeypatch.setattr(by_key, "BLOCK_BYTES", 53 * 7)


# --- what the log says


def test_the_log_says_between_which_keys_a_shards_rows_lie(folder):
    table = filled(folder, range(10), range(10, 13))
    logged = json.loads((folder / "_delta_log" / f"{1:020}.json").read_text().splitlines()[1])["add"]
    statistics = json.loads(logged["stats"])
    keys = sorted(key_of(n) for n in range(10))
    assert statistics == {
        "numRecords": 10,
        "minValues": {"key": keys[0].hex()},
        "maxValues": {"key": keys[-1].hex()},
    }
    assert table.key_bounds[logged["path"]] == Bounds(keys[0], keys[-1])
    footer = pq.read_metadata(folder / logged["path"])
    assert of_metadata(footer.metadata, 1)[0][0] == keys[0][:8]


@pytest.mark.parametrize("keep_commits", [True, False])
def test_bounds_come_from_a_checkpoint_and_the_commits_behind_it(folder, keep_commits):
    table = filled(folder, *(range(n, n + 2) for n in range(0, 10, 2)))
    expected = dict(table.key_bounds)
    table.delta.create_checkpoint()
    add(table, range(10, 12))
    if not keep_commits:
        for version in range(5):
            (folder / "_delta_log" / f"{version:020}.json").unlink()
    found = FeatureTable(folder).key_bounds
    assert len(found) == 6
    assert expected.items() < found.items()
    assert table.refresh().key_bounds == found


def test_a_checkpoint_that_cannot_be_read_costs_its_bounds_alone(folder):
    table = filled(folder, range(3), range(3, 6))
    (folder / "_delta_log" / f"{1:020}.checkpoint.parquet").write_bytes(b"no parquet")
    (folder / "_delta_log" / f"{7:020}.checkpoint.parquet").write_bytes(b"of a later version")
    assert len(LoggedBounds(folder).at(table.version)) == 2


@pytest.mark.parametrize(
    "stats",
    [
        None,
        "{}",
        '{"numRecords": 3, "minValues": {"n_tokens": 1}, "maxValues": {"n_tokens": 2}}',
        '{"numRecords": 3, "minValues": {"key": "00"}, "maxValues": {"key": "01"}}',
        '{"numRecords": 3, "minValues": {"key": "x"}, "maxValues": {"key": "y"}}',
    ],
)
def test_statistics_that_are_not_ours_say_nothing(folder, stats):
    table = filled(folder, range(3))
    commit = folder / "_delta_log" / f"{1:020}.json"
    lines = [json.loads(line) for line in commit.read_text().splitlines()]
    lines[1]["add"]["stats"] = stats
    commit.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    assert FeatureTable(folder).key_bounds == {}
    assert (FeatureTable(folder).listed_shards.spans == [[0, (1 << 20) - 1]]).all()
    assert table.rows == 3


def test_bounds_that_leave_out_keys_are_damage_and_are_mended(folder):
    filled(folder, range(9))
    commit = folder / "_delta_log" / f"{1:020}.json"
    last = max(map(key_of, range(9))).hex()
    commit.write_text(commit.read_text().replace(last, min(map(key_of, range(9))).hex()))
    found = verify(folder.parent, "set")
    assert [line.partition("parquet ")[2] for line in found.damaged] == [
        "has keys outside of the bounds in the log"
    ]
    assert verify(folder.parent, "set", repair=True).saved == 9
    assert verify(folder.parent, "set").is_sound


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1), st.integers(0, 3))
def test_bounds_are_the_least_and_the_greatest_key(keys, skipped):
    found = bounds_of(pa.array([bytes(32)] * skipped + keys, pa.binary(32)).slice(skipped))
    assert found == Bounds(min(keys), max(keys))


@pytest.mark.parametrize(
    "said", [None, {}, {b"enc.key_bounds": b""}, {b"enc.key_bounds": b"00-zz"}, {b"enc.key_bounds": b"\xff"}]
)
def test_footers_that_do_not_say_hold_any_key(said):
    assert of_metadata(said, 2) == [None, None]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255))))
def test_depth_is_how_many_shards_may_hold_one_key(pairs):
    bounds = [Bounds(bytes([min(pair)]) * 32, bytes([max(pair)]) * 32) for pair in pairs]
    deepest = max((sum(a.first <= b.first <= a.last for a in bounds) for b in bounds), default=0)
    assert depth_of(bounds) == deepest
    assert depth_of([*bounds, None]) == deepest + 1


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20),
    st.binary(min_size=32, max_size=32),
)
def test_no_span_is_left_out_that_has_a_wanted_key(keys, other):
    wanted = Wanted()
    wanted.add(np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 4))
    assert wanted.may_be_in(spans_of([Bounds(key, key) for key in keys])).all()
    assert wanted.may_be_in(spans_of([None, ANYWHERE])).all()
    is_near = any(
        key[:3] == other[:3] or (key[:2] == other[:2] and key[2] >> 4 == other[2] >> 4) for key in keys
    )
    assert wanted.may_be_in(spans_of([Bounds(other, other)])).tolist() == [is_near]


# --- compact by key


@pytest.mark.usefixtures("small")
def test_shards_are_in_the_order_of_their_keys_and_have_none_in_common(folder):
    filled(folder, *(range(n, n + 10) for n in range(0, 100, 10)))
    before = rows_of(folder)
    done = compact(folder, by_key=True)
    table = FeatureTable(folder)
    assert (done.shards_before, done.rows, done.doubles, done.rewritten) == (10, 100, 0, 10)
    assert done.shards_after == len(table.logged) == 5
    assert depth_of(table.key_bounds.get(shard.rpartition("/")[2]) for shard in table.shards) == 1
    for shard in table.shards:
        keys = pq.read_table(shard).column("key").to_pylist()
        assert keys == sorted(keys)
        assert table.key_bounds[shard.rpartition("/")[2]] == Bounds(keys[0], keys[-1])
    assert rows_of(folder) == before
    assert compact(folder, by_key=True).version == done.version
    assert verify(folder.parent, "set").is_sound


@pytest.mark.usefixtures("small")
def test_doubles_go_and_what_comes_later_is_sorted_in(folder):
    table = filled(folder, range(30), range(20, 50))
    before = rows_of(folder)
    assert compact(folder, by_key=True).doubles == 10
    assert rows_of(folder) == before
    add(table.refresh(), range(50, 70))
    before = rows_of(folder)
    done = compact(folder, by_key=True)
    assert (done.rows, done.doubles) == (70, 0)
    assert rows_of(folder) == before
    assert (
        depth_of(FeatureTable(folder).key_bounds[s.rpartition("/")[2]] for s in FeatureTable(folder).shards)
        == 1
    )


@pytest.mark.usefixtures("small")
def test_little_disk_makes_several_batches_and_a_shard_that_is_larger_is_refused(folder):
    table = filled(folder, *(range(n, n + 10) for n in range(0, 80, 10)))
    before, size = rows_of(folder), table.logged[0].bytes
    version = table.version
    done = compact(folder, by_key=True, disk_bytes=4 * size + 100)
    assert done.version == version + 2
    assert (
        depth_of(FeatureTable(folder).key_bounds[s.rpartition("/")[2]] for s in FeatureTable(folder).shards)
        == 2
    )
    assert rows_of(folder) == before
    with pytest.raises(StoreError, match=r"pass a larger --disk"):
        compact(folder, by_key=True, disk_bytes=100)
    assert compact(folder, by_key=True).shards_after == 4


def test_one_shard_and_an_empty_set_are_left_alone(folder):
    table = filled(folder, range(10))
    assert compact(folder, by_key=True).version == table.version
    empty = FeatureTable.create(folder.parent / "empty", fake_spec())
    assert compact(empty, by_key=True).version == empty.version


def test_a_disk_that_is_full_leaves_the_table_as_it_was(folder, monkeypatch):
    table = filled(folder, range(10), range(10, 20))
    files = sorted(path.name for path in folder.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.ipc, "new_file", full)
    with pytest.raises(WorkspaceError, match=r"rows cannot be sorted in .* \(No space left on device\)"):
        compact(folder, by_key=True)
    assert {*(path.name for path in folder.iterdir())} - {".maintenance.lock"} == set(files)
    assert FeatureTable(folder).version == table.version


def test_damage_is_not_copied(folder):
    filled(folder, range(10), range(10, 20))
    shard = FeatureTable(folder).logged[0].path
    flip(shard, page_start(shard, "features") + 3, 2)
    with pytest.raises(DamagedShard):
        compact(folder, by_key=True)
    assert len(FeatureTable(folder).logged) == 2


@pytest.mark.usefixtures("small")
def test_a_reader_goes_on_beside_it(folder):
    table = filled(folder, range(10), range(10, 20))
    shards = table.shards
    reading = MappedFeatures(shards, table.spec)
    del table
    compact(folder, by_key=True)
    assert vacuum(folder, retain_hours=0).removed == []
    assert reading.take(np.array([3, (1 << 40) + 4])).shape == (2, 4)


# --- who looks for few keys


@pytest.fixture
def sorted_store(folder, small, monkeypatch):
    """200 rows in 10 shards without a key in common, of which no index is made."""
    filled(folder, *(range(n, n + 20) for n in range(0, 200, 20)))
    compact(folder, by_key=True)
    monkeypatch.setattr("enc.store.lookup.INDEX_KEYS", 0)
    return folder


def found_of(store, numbers, write):
    path = write("asked.txt.tsv", "text\n" + "".join(f"{text_of(n)}\n" for n in numbers))
    table = FeatureTable(store)
    with workspace() as con:
        stage = stage_source(con, Source(path))
        found = look_up(stage, table.listed_shards)
        locations = np.array(found.locations)
    known = locations != NOWHERE
    features = MappedFeatures(table.listed_shards, table.spec).take(locations[known])[:, 0]
    assert features.tolist() == [n for n, is_known in zip(numbers, known.tolist(), strict=True) if is_known]
    return found, known.tolist()


@pytest.mark.parametrize("rows_of_a_group", [1, 1 << 20])
def test_shards_in_which_no_key_can_be_are_not_opened(sorted_store, rows_of_a_group, write, monkeypatch):
    monkeypatch.setattr(stored_keys, "ROW_GROUP_ROWS", rows_of_a_group)
    looked_at = []
    whole = shard_keys.opened
    monkeypatch.setattr(shard_keys, "opened", lambda path: looked_at.append(path) or whole(path))
    found, known = found_of(sorted_store, [7, 1000], write)
    assert known == [True, False]
    assert (found.distinct, found.missing) == (2, 1)
    assert 1 <= len(set(looked_at)) <= 2


@pytest.mark.parametrize("rows_of_a_group", [1, 1 << 20])
def test_all_that_are_stored_are_found_and_no_others(sorted_store, rows_of_a_group, write, monkeypatch):
    monkeypatch.setattr(stored_keys, "ROW_GROUP_ROWS", rows_of_a_group)
    numbers = [*range(150, 260), 3, 3]
    found, known = found_of(sorted_store, numbers, write)
    assert known == [n < 200 for n in numbers]
    assert (found.distinct, found.missing) == (111, 60)


@pytest.mark.parametrize("indexed", [0, 1 << 20])
def test_a_shard_that_another_tool_has_rewritten_is_read_beside_ours(folder, indexed, write, monkeypatch):
    monkeypatch.setattr("enc.store.lookup.INDEX_KEYS", indexed)
    filled(folder, range(5), range(5, 10), range(10, 15))
    DeltaTable(folder).delete("n_tokens = 7")
    table = FeatureTable(folder)
    assert sorted(is_finished_name(Path(shard).name) for shard in table.shards) == [False, True, True]
    found, known = found_of(folder, range(16), write)
    assert known == [n != 7 and n < 15 for n in range(16)]
    assert (found.distinct, found.missing) == (16, 2)


def test_damaged_keys_are_no_keys_of_an_index(sorted_store, write, monkeypatch):
    monkeypatch.setattr("enc.store.lookup.INDEX_KEYS", 1 << 20)
    flip((shard := FeatureTable(sorted_store).logged[3]).path, page_start(shard.path, "key") + 5, 1)
    with pytest.raises(DamagedShard, match=r"is damaged: keys of row group 0 are not what was written"):
        found_of(sorted_store, range(200), write)


def test_damaged_keys_of_a_row_group_are_no_keys(sorted_store, write, monkeypatch):
    monkeypatch.setattr(stored_keys, "ROW_GROUP_ROWS", 1)
    for shard in FeatureTable(sorted_store).logged:
        flip(shard.path, page_start(shard.path, "key") + 5, 1)
    with pytest.raises(DamagedShard, match=r"is damaged"):
        found_of(sorted_store, [7], write)


def test_a_shard_that_is_gone_is_named(sorted_store, write):
    for shard in FeatureTable(sorted_store).logged:
        (sorted_store / shard.path).unlink()
    with pytest.raises(DamagedShard, match=r"is missing"):
        found_of(sorted_store, [7], write)


def test_lookup_of_texts_in_memory_is_by_key_too(sorted_store):
    rows = Store(sorted_store.parent).open("set").lookup([text_of(5), "another text", text_of(199)])
    assert rows.has_features.tolist() == [True, False, True]
    assert rows[rows.has_features][:, 0].tolist() == [5, 199]


def test_rows_of_tokens_without_padding_are_sorted_too(folder, monkeypatch):
    monkeypatch.setattr(by_key, "BLOCK_BYTES", 200)
    spec = fake_spec(pooling=("tokens",), token_layout="ragged")
    table = FeatureTable.create(folder, spec)
    for first in (0, 20):
        numbers = range(first, first + 20)
        lengths = np.array([n % 5 for n in numbers], np.int32)
        vectors = np.repeat(np.array(numbers), lengths)[:, None] + np.zeros(4)
        with table.writer() as appending:
            keys = pa.array([key_of(n) for n in numbers], pa.binary())
            appending.write(keys, lengths, lengths > 9, TokenRows(vectors.astype(spec.numpy_dtype), lengths))
    assert compact(folder, by_key=True).shards_after == 1
    (shard,) = table.refresh().shards
    keys = pq.read_table(shard).column("key").to_pylist()
    assert keys == sorted(map(key_of, range(40)))
    rows = table.lookup([text_of(n) for n in range(40)])
    for n in range(40):
        assert np.asarray(rows[n : n + 1])[0, : n % 5, 0].tolist() == [float(n)] * (n % 5)
    assert verify(folder.parent, "set").is_sound
