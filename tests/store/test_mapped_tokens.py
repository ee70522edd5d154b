"""Rows of tokens without padding: stored, read by anyone, served, and refused when they are damaged."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from enc.store import FeatureTable, SpecError, shard_writer
from enc.store.compact import compact
from enc.store.delete import delete
from enc.store.errors import DamagedShard
from enc.store.mapped_tokens import MappedTokens
from enc.store.shard import Shard
from enc.store.token_rows import TokenRows
from enc.store.verify import verify
from fakes import fake_spec
from feature_sets import flip, key_of, page_start
from hypothesis import given, settings
from hypothesis import strategies as st

RAGGED = dict(pooling=("tokens",), token_layout="ragged")
LENGTHS = np.array([3, 0, 8, 1, 5, 2, 7, 8, 1, 4], np.int32)


def rows_of(lengths, spec, first=0):
    """Rows whose vectors tell the row's number, but for the first value, which tells the token's."""
    vectors = np.repeat(np.arange(first, first + len(lengths)), lengths)[:, None].repeat(spec.shape[1], 1)
    vectors[:, 0] = np.arange(len(vectors))
    return TokenRows(vectors.astype(spec.numpy_dtype), lengths.astype(np.int32))


def write(table, numbers, rows):
    with table.writer() as writer:
        keys = pa.array([key_of(n) for n in numbers], pa.binary())
        writer.write(keys, rows.lengths, np.zeros(len(rows), bool), rows)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Two shards of ragged rows, a few rows to a row group."""
    spec = fake_spec(**RAGGED)
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 4)
    table = FeatureTable.create(tmp_path / "store" / "set", spec)
    write(table, range(10), rows_of(LENGTHS, spec))
    write(table, range(10, 20), rows_of(LENGTHS[::-1], spec, 10))
    return table.refresh()


def served(table):
    """The vectors of each number, as a new reader gets them."""
    table = FeatureTable(table.path)
    shards = table.shards
    keys = [pq.read_table(shard, columns=["key"]).column(0).to_pylist() for shard in shards]
    locations = [(n << 40) + row for n, rows in enumerate(keys) for row in range(len(rows))]
    features = MappedTokens(shards, table.spec)
    places = np.array(locations, np.int64)
    lengths = features.lengths(places)
    padded, flat = (
        features.take_padded(places),
        features.read_rows(places, lengths, features.room(int(lengths.sum()))),
    )
    np.testing.assert_array_equal(flat.padded(), padded)
    numbers = [int.from_bytes(key) for keys_of_shard in keys for key in keys_of_shard]
    return {n: padded[row, : lengths[row], 1:] for row, n in enumerate(numbers)}


def expected(numbers):
    lengths = np.concatenate([LENGTHS, LENGTHS[::-1]])
    return {n: np.full((lengths[n], 3), n, np.float32) for n in numbers}


def assert_equal(found, wanted):
    assert sorted(found) == sorted(wanted)
    for number, vectors in wanted.items():
        np.testing.assert_array_equal(found[number], vectors)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 8), min_size=1, max_size=40),
    group_bytes=st.integers(1, 500),
    dtype=st.sampled_from(["float16", "float32"]),
    data=st.data(),
)
def test_round_trip(tmp_path_factory, lengths, group_bytes, dtype, data):
    spec = fake_spec(dtype=dtype, **RAGGED)
    counts = np.array(lengths, np.int32)
    vectors = np.random.default_rng(len(lengths)).standard_normal((int(counts.sum()), 4))
    rows = TokenRows(vectors.astype(spec.numpy_dtype), counts)
    path = tmp_path_factory.mktemp("shard") / "part.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writer, "ROW_GROUP_BYTES", group_bytes)
        writer = shard_writer.ShardWriter(path, spec)
        keys = pa.array([key_of(n) for n in range(len(counts))], pa.binary())
        writer.write(keys, counts, counts > 3, rows)
        writer.close()
    opened = Shard(path, spec)
    assert opened.plain
    assert opened.has_checksums
    order = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=60)), np.int64)
    features = MappedTokens([str(path)], spec)
    found = features.lengths(order)
    np.testing.assert_array_equal(found, counts[order])
    wanted = rows.padded(8)[order][:, : max([0, *found.tolist()])]
    np.testing.assert_array_equal(features.take_padded(order), wanted)
    # Any reader finds the same in it.
    plain = pq.read_table(path)
    assert plain.column("kept_tokens").to_pylist() == lengths
    one = plain.slice(0, 1).to_pylist()[0]
    np.testing.assert_array_equal(
        np.frombuffer(one["features"], dtype).reshape(-1, 4), rows.vectors[: lengths[0]]
    )


def test_rows_of_several_shards_are_served_and_only_of_parts_that_are_asked_for(table):
    assert_equal(served(table), expected(range(20)))
    path = table.path.parent / "layers"
    spec = fake_spec(**RAGGED, layers=(1, 2, 3))
    layered = FeatureTable.create(path, spec)
    vectors = np.arange(5 * 12, dtype=np.float32).reshape(5, 12)
    write(layered, range(2), TokenRows(vectors, np.array([2, 3], np.int32)))
    use = spec.select(layers=(3, 1))
    found = MappedTokens(layered.refresh().shards, spec, use).take_padded(np.array([1, 0]))
    np.testing.assert_array_equal(found[0], vectors[2:][:, [8, 9, 10, 11, 0, 1, 2, 3]])
    np.testing.assert_array_equal(found[1, 2], np.zeros(8))


@pytest.mark.parametrize("column", ["kept_tokens", "features"])
@pytest.mark.parametrize("byte", [0, 4])
def test_a_flipped_bit_of_a_length_is_found(table, column, byte):
    path = Path(table.shards[0])
    flip(path, page_start(path, column, group=1) + byte, 0)
    features = MappedTokens(FeatureTable(table.path).shards, table.spec)
    rows = np.array([5])
    for use in (features.take, features.take_padded, features.verify):
        with pytest.raises(DamagedShard, match="row group 1"):
            use(rows)
    sound = features.take(np.array([0]))[0, 1].tolist()
    assert sound[0] == 1
    assert sound[1] in (0, 10)  # shards have names by chance


def test_lengths_that_contradict_the_features_are_found_without_checksums(tmp_path):
    spec = fake_spec(**RAGGED)
    vectors = np.ones((5, 4), np.float32)
    values = [vectors[:2].tobytes(), vectors[:3].tobytes()]
    types = {"key": pa.binary(32), "n_tokens": pa.int32(), "truncated": pa.bool_(), "kept_tokens": pa.int32()}
    columns = dict(key=[key_of(0), key_of(1)], n_tokens=[2, 3], truncated=[False] * 2, kept_tokens=[3, 2])
    fields = [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    table = pa.table(
        {**columns, "features": values},
        schema=pa.schema([*fields, pa.field("features", pa.binary(), nullable=False)]),
    )
    options = dict(compression="none", use_dictionary=False, write_statistics=False)
    pq.write_table(table, tmp_path / "p.parquet", **options)
    shard = Shard(tmp_path / "p.parquet", spec)
    assert shard.plain
    with pytest.raises(DamagedShard, match="lengths in row group 0 contradict each other"):
        shard.verify(0)


def test_features_that_are_not_finite_are_found_and_lengths_that_look_so_are_not(tmp_path):
    spec = fake_spec(**RAGGED, dtype="float16", hidden_size=0x7C00 // 2)  # a length with the bits of inf
    rows = TokenRows(np.ones((1, 0x7C00 // 2), np.float16), np.array([1], np.int32))
    table = FeatureTable.create(tmp_path / "store" / "set", spec)
    write(table, range(1), rows)
    assert MappedTokens(table.refresh().shards, spec).take_padded(np.array([0])).shape == (1, 1, 0x7C00 // 2)


def test_deleting_compacting_and_another_tools_layout_keep_the_rows(table):
    delete(table.path, where="n_tokens = 8")
    left = [n for n, length in enumerate([*LENGTHS, *LENGTHS[::-1]]) if length != 8]
    assert_equal(served(table), expected(left))
    DeltaTable(table.path).delete("n_tokens = 7")
    left = [n for n in left if [*LENGTHS, *LENGTHS[::-1]][n] != 7]
    assert not all(Shard(one, table.spec).plain for one in FeatureTable(table.path).shards)
    assert_equal(served(table), expected(left))
    compact(table.path)
    assert len(FeatureTable(table.path).shards) == 1
    assert all(Shard(one, table.spec).plain for one in FeatureTable(table.path).shards)
    assert_equal(served(table), expected(left))


def test_repairing_drops_the_row_group_with_a_broken_length(table):
    path = Path(table.shards[0])
    first = pq.read_table(path, columns=["key"]).column(0).to_pylist()
    flip(path, page_start(path, "kept_tokens", group=1), 1)
    summary = verify(table.path.parent, table.name, repair=True)
    assert (summary.saved, summary.lost) == (6, 4)
    gone = {int.from_bytes(key) for key in first[4:8]}
    assert_equal(served(table), expected([n for n in range(20) if n not in gone]))


def test_layouts_are_never_mixed():
    padded, ragged = fake_spec(pooling=("tokens",)), fake_spec(**RAGGED)
    assert padded.digest != ragged.digest
    assert padded.differences(ragged) == ["token_layout: padded, not ragged"]
    for changes in (dict(pooling=("mean",)), dict(padding_side="left"), dict(attention_mask=False)):
        with pytest.raises(SpecError, match="'ragged' is for pooling 'tokens'"):
            fake_spec(**(RAGGED | changes))
