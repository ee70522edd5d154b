"""A reader may come to its shards one by one, in any order: it is served what it would be of all at once."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.store import FeatureTable, shard_writer
from enc.store.errors import DamagedShard
from enc.store.mapped_tokens import mapped_features
from enc.store.shard import Shard
from feature_sets import RAGGED, add, filled, flip, page_start

SIZES = (7, 1, 12, 3, 9, 4, 4, 8)


@pytest.fixture(params=["pooled", "pooled, uneven", "ragged"])
def table(request, tmp_path, monkeypatch):
    """Shards of these sizes, whose rows' numbers follow each other; of equally large row groups, or not."""
    table = filled(tmp_path / "store" / "set", **(RAGGED if request.param == "ragged" else {}))
    first = 0
    for number, rows in enumerate(SIZES):
        group_rows = 3 + number % 2 if request.param != "pooled" else 3
        monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", group_rows)
        add(table.refresh(), range(first, first + rows))
        first += rows
    return table.refresh()


def places_of(table) -> tuple[np.ndarray, np.ndarray]:
    """The location and the number of each row."""
    keys = [pq.read_table(shard, columns=["key"]).column(0).to_pylist() for shard in table.shards]
    locations = [(shard << 40) + row for shard, rows in enumerate(keys) for row in range(len(rows))]
    return np.array(locations), np.array([int.from_bytes(key) for rows in keys for key in rows])


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_shards_are_mapped_as_they_come(table, at_once):
    locations, numbers = places_of(table)
    features = mapped_features(table.shards, table.spec)
    rows = random.Random(at_once).sample(range(len(numbers)), len(numbers))
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        found = features.take(locations[some]).reshape(len(some), -1)
        assert found[:, 0].tolist() == numbers[some].tolist()
        assert features.take(locations[some[:1]]).flat[0] == numbers[some[0]]
    prepared = mapped_features(table.shards, table.spec)
    prepared.prepare(locations)
    np.testing.assert_array_equal(features.take(locations), prepared.take_prepared(locations))


def test_what_is_mapped_is_not_mapped_again(table, monkeypatch):
    locations, _ = places_of(table)
    mapped, whole = [], Shard.map
    monkeypatch.setattr(Shard, "map", lambda shard: mapped.append(shard.path) or whole(shard))
    features = mapped_features(table.shards, table.spec)
    for place in [*locations, *locations[::-1]]:
        features.take(np.array([place]))
    features.prepare(locations)
    assert mapped == table.shards


def test_only_what_is_asked_for_is_verified(table):
    locations, numbers = places_of(table)
    largest = int(np.bincount(locations >> 40).argmax())
    damaged, path = np.flatnonzero(locations >> 40 == largest), table.shards[largest]
    flip(path, page_start(path, "features", group=1) + 9, 5)
    features = mapped_features(FeatureTable(table.path).shards, table.spec)
    last = pq.read_metadata(path).row_group(0).num_rows
    for row in np.delete(np.arange(len(numbers)), damaged[last:]):
        assert features.take(locations[[row]]).flat[0] == numbers[row]
    for _ in range(2):
        with pytest.raises(DamagedShard, match="row group 1 is not what was written"):
            features.take(locations[damaged[[last]]])
