import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import StoreError, shard_writer
from enc.store.shard import Shard
from enc.store.shard_writer import ShardWriter
from fakes import fake_spec
from hypothesis import given, settings
from hypothesis import strategies as st


def keys_of(rows: int) -> pa.Array:
    return pa.array([i.to_bytes(32) for i in range(rows)], pa.binary())


def write_shard(path, spec, features, *, blocks=1):
    writer = ShardWriter(path, spec)
    rows = len(features)
    keys, counts = keys_of(rows), np.arange(rows, dtype=np.int32)
    for part in np.array_split(np.arange(rows), blocks):
        writer.write(keys.take(pa.array(part)), counts[part], counts[part] > 1, features[part])
    writer.close()
    return path


def read(shard, spec, rows):
    out = np.empty((len(rows), *spec.shape), spec.numpy_dtype)
    shard.read(
        rows, out.reshape(len(rows), -1).view(np.dtype((np.void, spec.row_bytes))) if len(rows) else out
    )
    return out


@settings(max_examples=40)
@given(
    rows=st.integers(1, 60),
    blocks=st.integers(1, 5),
    group_bytes=st.integers(1, 700),
    dtype=st.sampled_from(["float16", "float32"]),
    pooling=st.sampled_from([("mean",), ("cls", "max"), ("tokens",)]),
    data=st.data(),
)
def test_round_trip(tmp_path_factory, rows, blocks, group_bytes, dtype, pooling, data):
    spec = fake_spec(dtype=dtype, pooling=pooling)
    features = np.random.default_rng(rows).standard_normal((rows, *spec.shape)).astype(spec.numpy_dtype)
    path = tmp_path_factory.mktemp("shard") / "part.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_writer, "ROW_GROUP_BYTES", group_bytes)
        write_shard(path, spec, features, blocks=blocks)
    order = np.array(data.draw(st.lists(st.integers(0, rows - 1), max_size=80)), dtype=np.int64)

    opened = Shard(path, spec)
    assert opened.plain
    assert opened.rows == rows
    np.testing.assert_array_equal(read(opened, spec, order), features[order])
    # Any reader finds the same in it.
    table = pq.read_table(path)
    assert table.column("key").to_pylist() == [i.to_bytes(32) for i in range(rows)]
    assert table.column("n_tokens").to_pylist() == list(range(rows))
    assert b"".join(table.column("features").to_pylist()) == features.tobytes()


def test_row_groups_are_one_page_and_bounded(tmp_path, monkeypatch):
    spec = fake_spec()
    monkeypatch.setattr(shard_writer, "ROW_GROUP_BYTES", 10 * spec.row_bytes)
    path = write_shard(tmp_path / "s.parquet", spec, np.zeros((25, 4), np.float32), blocks=3)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)] == [10, 10, 5]
    assert metadata.schema.to_arrow_schema().metadata[b"enc.shape"] == b"4"


@pytest.mark.parametrize(
    "options",
    [
        dict(compression="zstd"),
        dict(compression="none", use_dictionary=True),
        dict(compression="none", use_dictionary=False, max_rows_per_page=7),
        dict(compression="none", use_dictionary=False, data_page_version="2.0", max_rows_per_page=7),
    ],
)
def test_a_rewritten_shard_gives_the_same_answer(tmp_path, options):
    spec = fake_spec()
    features = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    table = pq.read_table(write_shard(tmp_path / "s.parquet", spec, features))
    pq.write_table(table, tmp_path / "rewritten.parquet", **options)
    rewritten = Shard(tmp_path / "rewritten.parquet", spec)
    assert not rewritten.plain
    order = np.array([99, 0, 50, 50])
    np.testing.assert_array_equal(read(rewritten, spec, order), features[order])


def test_variable_length_columns_are_read_too(tmp_path):
    spec = fake_spec()
    features = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    table = pq.read_table(write_shard(tmp_path / "s.parquet", spec, features))
    column = table.column("features").cast(pa.binary())
    pq.write_table(table.set_column(3, "features", column), tmp_path / "variable.parquet")
    np.testing.assert_array_equal(
        read(Shard(tmp_path / "variable.parquet", spec), spec, np.arange(5)), features
    )


def test_wrong_width_or_file_is_an_error(tmp_path):
    path = write_shard(tmp_path / "s.parquet", fake_spec(), np.zeros((5, 4), np.float32))
    with pytest.raises(StoreError, match="another width than 8"):
        Shard(path, fake_spec(dtype="float16"))
    (tmp_path / "no.parquet").write_text("nothing")
    with pytest.raises(StoreError, match=r"no\.parquet cannot be read"):
        Shard(tmp_path / "no.parquet", fake_spec())


def test_the_bytes_of_what_is_written_are_counted(tmp_path):
    spec = fake_spec()
    writer = ShardWriter(tmp_path / "s.parquet", spec)
    for _ in range(2):
        writer.write(keys_of(3), np.zeros(3, np.int32), np.zeros(3, bool), np.zeros((3, 4), np.float32))
    assert (writer.rows, writer.bytes) == (6, 6 * (32 + 4 + 1 + spec.row_bytes))
    writer.close()


def test_wrong_shape_is_refused(tmp_path):
    writer = ShardWriter(tmp_path / "s.parquet", fake_spec())
    with pytest.raises(ValueError, match="shape"):
        writer.write(keys_of(2), np.zeros(2, np.int32), np.zeros(2, bool), np.zeros((2, 3)))
    writer.discard()
    assert not (tmp_path / "s.parquet").exists()
