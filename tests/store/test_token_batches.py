"""Batches of tokens that are stored without padding: the same rows from memory, maps and files."""

from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from enc.store import FeatureTable, SpecError, batches, shard_writer
from enc.store.batches import MODES, PlannedFeatures
from enc.store.token_batches import PlannedTokens, planned_features
from enc.store.token_rows import TokenRows
from fakes import fake_spec
from feature_sets import key_of

ROWS = 90
LENGTHS = np.random.default_rng(1).integers(1, 9, ROWS).astype(np.int32)
LENGTHS[7] = 0


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Three shards of ragged rows of two layers, whose numbers tell row and token."""
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 16)
    spec = fake_spec(pooling=("tokens",), token_layout="ragged", layers=(1, 2))
    table = FeatureTable.create(tmp_path / "store" / "set", spec)
    for first in range(0, ROWS, 30):
        numbers, lengths = np.arange(first, first + 30), LENGTHS[first : first + 30]
        vectors = np.repeat(numbers + 1, lengths)[:, None] + np.arange(8) * 1000
        with table.writer() as writer:
            keys = pa.array([key_of(n) for n in numbers.tolist()], pa.binary())
            rows = TokenRows(vectors.astype(spec.numpy_dtype), lengths)
            writer.write(keys, lengths, np.zeros(30, bool), rows)
    return table.refresh()


def planned(table, mode, use=None):
    """The plan of the rows in the order of their numbers, with every third row twice."""
    import pyarrow.parquet as pq

    found = {}
    for number, shard in enumerate(table.shards):
        for row, key in enumerate(pq.read_table(shard, columns=["key"]).column(0).to_pylist()):
            found[int.from_bytes(key)] = (number << 40) + row
    numbers = [*range(ROWS), *range(0, ROWS, 3)]
    places = np.array([found[n] for n in numbers], np.int64)
    return planned_features(table.shards, table.spec, places, batches=mode, use=use), np.array(numbers)


def order(epoch):
    """The positions of an epoch, one after the other."""
    return list(chain.from_iterable(positions.tolist() for positions, _ in epoch))


def assert_rows(features, numbers, width=8):
    for row, number in zip(features, numbers.tolist(), strict=True):
        length = LENGTHS[number]
        np.testing.assert_array_equal(row[:length, 0], np.full(length, number + 1))
        assert row.shape[1] == width
        assert not row[length:].any()


@pytest.mark.parametrize("mode", MODES)
def test_an_epoch_has_every_row_once_padded_to_the_longest_of_its_batch(table, mode, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(batches, "BUFFER_BYTES", 20_000)
    features, numbers = planned(table, mode)
    assert isinstance(features, PlannedTokens)
    seen, sizes = [], []
    for positions, batch in features.epoch(3, 1, 16):
        assert batch.shape == (len(positions), LENGTHS[numbers[positions]].max(), 8)
        assert_rows(batch, numbers[positions])
        seen += positions.tolist()
        sizes.append(len(positions))
    assert sorted(seen) == list(range(len(numbers)))
    assert sizes == [16] * 7 + [8]
    assert order(features.epoch(3, 1, 16)) == seen
    assert order(features.epoch(3, 2, 16)) != seen
    assert_rows(features.take(np.array([8, 3, 3, 88])), numbers[[8, 3, 3, 88]])
    assert features.take(np.array([8])).shape == (1, 8, 8)
    assert_rows(np.concatenate(list(features.blocks(7, 2, 40))), numbers[2:40])


def test_rows_of_like_length_are_together_from_memory_maps_and_files_alike(table):
    orders = []
    for mode in MODES:
        features, numbers = planned(table, mode)
        found = list(features.epoch(0, 0, 8))
        orders.append([positions.tolist() for positions, _ in found])
        slots = sum(batch.shape[0] * batch.shape[1] for _, batch in found)
        assert slots < 1.15 * LENGTHS[numbers].sum()
        assert "lengths" in features.order
        for rank in range(2):
            slots += sum(
                batch.shape[0] * batch.shape[1]
                for _, batch in features.epoch(0, 0, 8, rank=rank, world_size=2)
            )
        assert slots < 2.4 * LENGTHS[numbers].sum()
    assert orders[0] == orders[1]


@pytest.mark.parametrize("mode", MODES)
def test_ranks_share_an_epoch_and_a_start_leaves_rows_out(table, mode):
    features, numbers = planned(table, mode)
    parts = [order(features.epoch(0, 0, 8, rank=rank, world_size=3)) for rank in range(3)]
    assert sorted(chain(*parts)) == list(range(len(numbers)))
    assert order(features.epoch(0, 0, 8, start=16, rank=1, world_size=3)) == parts[1][16:]


@pytest.mark.parametrize("mode", MODES)
def test_parts_of_layers_and_of_rows(table, mode):
    use = table.spec.select(layers=(2,))
    features, _ = planned(table, mode, use)
    assert features.shape == (8, 4)
    assert features.take(np.array([4]))[0, 0].tolist() == [4005, 5005, 6005, 7005]
    part = features.part(table.spec, np.array([5, 7, 80]))
    assert_rows(part.take(np.arange(3)), np.array([5, 7, 80]))
    assert part.mode == mode


def test_a_worker_process_maps_the_rows_itself(table):
    features, numbers = planned(table, "ram")
    make, arguments = features.__reduce__()
    copy = make(*arguments)
    assert copy.mode == "mapped"
    assert_rows(copy.take(np.arange(20)), numbers[:20])


def test_a_plan_of_one_layout_is_none_of_the_other(table):
    with pytest.raises(SpecError, match="not ragged"):
        PlannedTokens([], fake_spec(), np.empty(0, np.int64))
    assert type(planned_features([], fake_spec(), np.empty(0, np.int64))) is PlannedFeatures
