import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import (
    EncError,
    SourceError,
    SpecError,
    StoreError,
    batches,
    mapped,
    maps,
    pieces,
    shard,
    shard_writer,
)
from enc.store.batches import MODES, MappedFeatures, PlannedFeatures
from enc.store.shard_writer import ShardWriter
from fakes import fake_spec
from hypothesis import given, settings
from hypothesis import strategies as st


def store(folder, spec, rows, shards):
    """Shards of random features, some row groups small; the features, and the location of each."""
    features = np.random.default_rng(rows).standard_normal((rows, *spec.shape)).astype(spec.numpy_dtype)
    paths, locations = [], []
    for number, part in enumerate(np.array_split(np.arange(rows), shards)):
        paths.append(str(folder / f"{number}.parquet"))
        writer = ShardWriter(paths[-1], spec)
        keys = pa.array([int(i).to_bytes(32) for i in part], pa.binary())
        writer.write(keys, np.ones(len(part), np.int32), np.zeros(len(part), bool), features[part])
        writer.close()
        locations += [(number << 40) + np.arange(len(part))]
    return paths, features, np.concatenate(locations)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """300 rows in three shards, row groups of 16, blocks of 7, buffers of 40; a plan of some of them, some
    twice.
    """
    spec = fake_spec()
    monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", 16 * spec.row_bytes)
    monkeypatch.setattr(batches, "BLOCK_BYTES", 7 * spec.row_bytes)
    monkeypatch.setattr(batches, "BUFFER_BYTES", 80 * spec.row_bytes)
    paths, features, locations = store(tmp_path, spec, 300, 3)
    chosen = np.random.default_rng(1).integers(0, 300, 250)
    return paths, spec, locations[chosen], features[chosen]


def served(epoch):
    """All positions of an epoch, and the features that came with them."""
    positions, features = zip(*epoch, strict=True)
    return np.concatenate(positions), np.concatenate(features)


def test_streaming_holds_no_more_than_it_may(small):
    paths, spec, locations, _ = small
    planned = PlannedFeatures(paths, spec, locations, batches="streamed")
    list(planned.epoch(5, 1, 16))
    assert sum(buffer.nbytes for buffer in planned._spare) == batches.BUFFER_BYTES


def test_streaming_knows_more_rows_than_two_bytes_count(small):
    paths, spec, locations, features = small
    planned = PlannedFeatures(paths, spec, np.tile(locations, 300), batches="streamed")
    positions, found = served(planned.epoch(5, 1, 10_000))
    np.testing.assert_array_equal(np.sort(positions), np.arange(75_000))
    np.testing.assert_array_equal(found, features[positions % 250])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch_size", [1, 16, 40, 1000])
def test_every_row_comes_once_with_its_features(small, mode, batch_size):
    paths, spec, locations, expected = small
    planned = PlannedFeatures(paths, spec, locations, batches=mode)
    assert (planned.mode, planned.rows, planned.spec) == (mode, 250, spec)
    found = list(planned.epoch(5, 1, batch_size))
    assert {len(positions) for positions, _ in found[:-1]} <= {batch_size}
    positions, features = served(found)
    assert positions.dtype == np.int64
    np.testing.assert_array_equal(np.sort(positions), np.arange(250))
    np.testing.assert_array_equal(features, expected[positions])
    again, _ = served(planned.epoch(5, 1, 13))  # the order has nothing to do with the size of batches
    np.testing.assert_array_equal(again, positions)
    for other in (served(planned.epoch(6, 1, 13)), served(planned.epoch(5, 2, 13))):
        assert (other[0] != positions).any()


def test_ram_and_mapped_have_the_same_order(small):
    paths, spec, locations, _ = small
    orders = {
        mode: served(PlannedFeatures(paths, spec, locations, batches=mode).epoch(3, 2, 32))[0].tolist()
        for mode in MODES
    }
    assert orders["ram"] == orders["mapped"] == np.random.default_rng([3, 2]).permutation(250).tolist()
    assert orders["streamed"] != orders["ram"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("start", [0, 1, 39, 40, 41, 124])
def test_starting_late_gives_the_rest(small, mode, start):
    paths, spec, locations, _ = small
    planned = PlannedFeatures(paths, spec, locations, batches=mode)
    whole = served(planned.epoch(1, 1, 16, rank=1, world_size=2))
    rest = served(planned.epoch(1, 1, 10, start=start, rank=1, world_size=2))
    np.testing.assert_array_equal(rest[0], whole[0][start:])
    np.testing.assert_array_equal(rest[1], whole[1][start:])
    assert not list(planned.epoch(1, 1, 10, start=125, rank=1, world_size=2))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world_size", [1, 3, 7, 260])
def test_ranks_share_the_rows(small, mode, world_size):
    paths, spec, locations, expected = small
    planned = PlannedFeatures(paths, spec, locations, batches=mode)
    shares = [list(planned.epoch(1, 1, 16, rank=rank, world_size=world_size)) for rank in range(world_size)]
    sizes = [sum(len(positions) for positions, _ in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    positions, features = served([batch for share in shares for batch in share])
    np.testing.assert_array_equal(np.sort(positions), np.arange(250))
    np.testing.assert_array_equal(features, expected[positions])


@pytest.mark.parametrize("mode", MODES)
def test_rows_by_position_and_in_order(small, mode):
    paths, spec, locations, expected = small
    planned = PlannedFeatures(paths, spec, locations, batches=mode)
    chosen = np.array([249, 0, 7, 7, 100])
    np.testing.assert_array_equal(planned.take(chosen), expected[chosen])
    assert planned.take(np.empty(0, np.int64)).shape == (0, 4)
    blocks = list(planned.blocks(64))
    assert [len(block) for block in blocks] == [64, 64, 64, 58]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


@settings(max_examples=30)
@given(
    mode=st.sampled_from(MODES),
    pooling=st.sampled_from([("cls", "mean", "max"), ("tokens",)]),
    layers=st.permutations([1, 2, 5]),
    count=st.integers(1, 3),
    data=st.data(),
)
def test_a_part_of_the_layers_and_poolings(tmp_path_factory, mode, pooling, layers, count, data):
    spec = fake_spec(layers=(1, 2, 5), pooling=pooling)
    poolings = data.draw(st.permutations(pooling))[: data.draw(st.integers(1, len(pooling)))]
    use = spec.select(layers[:count], poolings)
    paths, features, locations = store(tmp_path_factory.mktemp("store"), spec, 20, 2)
    planned = PlannedFeatures(paths, spec, locations, batches=mode, use=use)
    expected = np.concatenate([features[..., part] for part in spec.slices(use)], axis=-1)
    assert (planned.spec, expected.shape[1:]) == (use, use.shape)
    np.testing.assert_array_equal(np.concatenate(list(planned.blocks(6))), expected)
    positions, found = served(planned.epoch(1, 1, 8))
    np.testing.assert_array_equal(found, expected[positions])


def test_a_setting_that_is_not_stored_is_refused(small):
    paths, spec, locations, _ = small
    with pytest.raises(SpecError, match=r"pooling max is not among the stored features \(they have mean\)"):
        PlannedFeatures(paths, spec, locations, use=fake_spec(pooling=("max",)))
    with pytest.raises(SpecError, match="not a part of the stored one"):
        PlannedFeatures(paths, spec, locations, use=fake_spec(prefix="query: "))


@pytest.mark.parametrize("mode", MODES)
def test_shards_of_other_tools_are_served_too(small, mode):
    paths, spec, locations, expected = small
    pq.write_table(pq.read_table(paths[1]), paths[1], compression="zstd", row_group_size=30)
    planned = PlannedFeatures(paths, spec, locations, batches=mode)
    positions, features = served(planned.epoch(1, 1, 16))
    np.testing.assert_array_equal(features, expected[positions])


@pytest.mark.parametrize(("available", "mode"), [(10.0, "ram"), (1.9, "mapped"), (1.2, "streamed")])
def test_memory_chooses_the_mode(small, monkeypatch, available, mode):
    paths, spec, locations, _ = small
    monkeypatch.setattr(batches, "available_memory", lambda: int(available * 250 * spec.row_bytes))
    assert PlannedFeatures(paths, spec, locations).mode == mode


def test_more_shards_than_a_process_may_map_are_streamed_or_read(small, monkeypatch):
    paths, spec, locations, expected = small
    monkeypatch.setattr("enc.store.maps._most_maps", lambda: 2)
    monkeypatch.setattr(batches, "available_memory", lambda: int(1.9 * 250 * spec.row_bytes))
    few = locations[locations < 2 << 40]
    assert PlannedFeatures(paths, spec, few, batches="mapped").rows == len(few)
    planned = PlannedFeatures(paths, spec, locations)
    assert planned.mode == "streamed"
    positions, features = served(planned.epoch(1, 1, 16))
    np.testing.assert_array_equal(features, expected[positions])
    rows = MappedFeatures(paths, spec)
    np.testing.assert_array_equal(rows.take(locations), expected)
    np.testing.assert_array_equal(rows.fetch(locations), expected)
    with pytest.raises(EncError, match=r"3 shards are more .* \(2\); make them fewer with"):
        PlannedFeatures(paths, spec, locations, batches="mapped")


def test_the_systems_limit_of_maps_is_asked_for(tmp_path, monkeypatch):
    maps._most_maps.cache_clear()
    monkeypatch.setattr(maps, "_LIMIT_FILE", tmp_path / "limit")
    maps.require_maps(1 << 30)  # other systems have none
    maps._most_maps.cache_clear()
    (tmp_path / "limit").write_text("65530\n")
    maps.require_maps(16382)
    with pytest.raises(maps.TooManyMaps):
        maps.require_maps(16383)
    maps._most_maps.cache_clear()


def test_a_plan_of_few_rows_reads_little(tmp_path, monkeypatch):
    spec = fake_spec()
    monkeypatch.setattr(pieces, "GAP_BYTES", 2 * spec.row_bytes)
    paths, features, locations = store(tmp_path, spec, 1000, 1)
    read = []

    def counting(*args, **options):
        read.append(CountingFile(*args, **options))
        return read[-1]

    monkeypatch.setattr(shard, "open", counting, raising=False)
    planned = PlannedFeatures(paths, spec, locations[[5, 6, 9, 500, 999]], batches="streamed")
    read.clear()
    np.testing.assert_array_equal(planned.take(np.arange(5)), features[[5, 6, 9, 500, 999]])
    assert [size // spec.row_bytes for file in read for size in file.sizes] == [5, 1, 1]


class CountingFile:
    def __init__(self, *args, **options):
        self.file, self.sizes = open(*args, **options), []  # noqa: SIM115 - closed by __exit__

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def seek(self, position):
        self.file.seek(position)

    def read(self, size):
        return self.file.read(size)

    def readinto(self, buffer):
        self.sizes.append(len(buffer))
        return self.file.readinto(buffer)


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("enc-read")]


def test_the_reading_thread_ends_with_the_reader(small):
    paths, spec, locations, _ = small
    planned = PlannedFeatures(paths, spec, locations, batches="streamed")
    for batches_read in (planned.epoch(1, 1, 16), planned.blocks(16)):
        next(batches_read)
        assert reading_threads()
        batches_read.close()
        assert not reading_threads()
    list(planned.epoch(1, 1, 16))
    assert not reading_threads()


def test_a_shard_that_is_cut_short_is_an_error(small):
    paths, spec, locations, _ = small
    planned = PlannedFeatures(paths, spec, locations, batches="streamed")
    next(planned.epoch(1, 1, 16))  # the shards are open
    for path in paths:
        with open(path, "r+b") as file:
            file.truncate(100)
    with pytest.raises(StoreError, match=r"\.parquet ends before its rows do"):
        list(planned.epoch(1, 1, 16))
    assert not reading_threads()


def test_locations_outside_the_shards_are_refused(small):
    paths, spec, _, _ = small
    with pytest.raises(StoreError, match="rows that the shards have not"):
        MappedFeatures(paths, spec).take(np.array([0, 100]))  # the first shard has 100 rows


@pytest.mark.parametrize("sizes", [(16, 16), (16, 5), (5, 16), (3,)])
def test_row_groups_are_told_by_a_division_or_by_a_search(tmp_path, monkeypatch, sizes):
    spec, shards = fake_spec(), []
    for number, size in enumerate(sizes):
        monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", size * spec.row_bytes)
        (tmp_path / str(number)).mkdir()
        shards += store(tmp_path / str(number), spec, 40, 1)[0]
    locations = np.concatenate([(number << 40) + np.arange(40) for number in range(len(shards))])
    features = MappedFeatures(shards, spec)
    features.prepare(locations)
    groups = features._groups
    assert bool(groups.even_rows) == (len(set(sizes)) == 1)
    by_division = groups.of(locations)
    groups.even_rows = 0
    assert by_division.tolist() == groups.of(locations).tolist()
    for even_rows in (0, sizes[0]):
        groups.even_rows = even_rows
        with pytest.raises(StoreError, match="rows that the shards have not"):
            groups.of(np.array([40]))


def test_a_copy_in_another_process_has_the_same_order(small):
    paths, spec, locations, _ = small
    for mode, expected in (("ram", "mapped"), ("mapped", "mapped"), ("streamed", "streamed")):
        planned = PlannedFeatures(paths, spec, locations, batches=mode)
        other = copy.copy(planned)
        assert (other.mode, other.order) == (expected, planned.order)
        np.testing.assert_array_equal(served(other.epoch(1, 1, 16))[1], served(planned.epoch(1, 1, 16))[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(batch_size=0), "no batches of 0 rows"),
        (dict(rank=2, world_size=2), "rank 2 of 2"),
        (dict(world_size=0), "rank 0 of 0"),
        (dict(start=126, world_size=2), "cannot start at row 126: rank 0 of 2 has 125"),
    ],
)
def test_impossible_epochs(small, options, message):
    planned = PlannedFeatures(*small[:3])
    with pytest.raises(ValueError, match=message):
        planned.epoch(**dict(seed=1, epoch=1, batch_size=8) | options)
    with pytest.raises(SourceError, match="'disk'; there are ram, mapped, streamed"):
        PlannedFeatures(*small[:3], batches="disk")


def test_many_locations_are_prepared_and_read_a_part_at_a_time(small, monkeypatch):
    paths, spec, locations, features = small
    monkeypatch.setattr(mapped, "_PART_ROWS", 9)
    one = MappedFeatures(paths, spec)
    one.prepare(locations)
    np.testing.assert_array_equal(one.take_prepared(locations), features)
    another, out = MappedFeatures(paths, spec), np.empty_like(features)
    another.verify(locations)
    order = np.argsort(locations)
    another.read(locations[order], out)
    np.testing.assert_array_equal(out, features[order])
    with pytest.raises(StoreError):
        one.prepare(np.append(locations, 100))  # the first shard has 100 rows


@pytest.mark.parametrize("part", [slice(None), slice(90, 210), slice(7, 8), slice(0, 0), slice(0, 250, 2)])
def test_rows_are_fetched_once_in_the_order_of_their_storage_and_in_any_other(tmp_path, monkeypatch, part):
    spec = fake_spec()
    monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", 16 * spec.row_bytes)
    paths, features, locations = store(tmp_path, spec, 300, 3)
    one = MappedFeatures(paths, spec)
    with ThreadPoolExecutor(2) as threads:
        orders = [np.arange(300)[part], np.sort(np.tile(np.arange(300)[part], 2)), np.arange(300)[part][::-1]]
        for rows, found in zip(
            orders, threads.map(lambda rows: one.fetch(locations[rows]), orders), strict=True
        ):
            np.testing.assert_array_equal(found, features[rows])
    with pytest.raises(StoreError):
        one.fetch(np.arange(90, 110))  # the first shard has 100 rows
