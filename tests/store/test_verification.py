"""A shard is right or refused: it is looked at before it is first used, and named when it is damaged."""

import random
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enc.store import FeatureTable, StoreError, shard, shard_writer
from enc.store.batches import MODES, MappedFeatures, PlannedFeatures
from enc.store.errors import DamagedShard
from enc.store.shard_file import is_finished_name, is_open_name
from enc.store.shard_writer import ShardWriter
from fakes import fake_spec
from feature_sets import filled, flip, page_start

ROWS = 40


def served(folder: Path, mode: str) -> np.ndarray:
    table = FeatureTable(folder)
    planned = PlannedFeatures(table.shards, table.spec, np.arange(ROWS), batches=mode)
    return planned.take(np.arange(ROWS))[:, 0]


@pytest.mark.parametrize("mode", MODES)
def test_a_flipped_bit_of_a_feature_is_never_served(tmp_path, mode):
    path = Path(filled(tmp_path / "store" / "set", range(ROWS)).shards[0])
    np.testing.assert_array_equal(served(tmp_path / "store" / "set", mode), np.arange(ROWS))
    flip(path, page_start(path, "features") + 17, 6)
    with pytest.raises(DamagedShard, match=r"row group 0 is not what was written; run `enc store verify"):
        served(tmp_path / "store" / "set", mode)


@pytest.mark.parametrize("mode", MODES)
def test_any_flipped_bit_of_a_shard_is_right_or_refused(tmp_path, mode, monkeypatch):
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 16)
    path = Path(filled(tmp_path / "store" / "set", range(ROWS)).shards[0])
    data, chosen, refused = path.read_bytes(), random.Random(mode), []
    for _ in range(120):
        path.write_bytes(data)
        flip(path, chosen.randrange(len(data)), chosen.randrange(8))
        try:
            np.testing.assert_array_equal(served(tmp_path / "store" / "set", mode), np.arange(ROWS))
        except StoreError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(str(path) in text and "\n" not in text for text in refused)


def test_only_row_groups_that_are_used_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 10)
    table = filled(tmp_path / "store" / "set", range(ROWS))
    path = Path(table.shards[0])
    flip(path, page_start(path, "features", group=2) + 5, 1)
    features = MappedFeatures(FeatureTable(table.path).shards, table.spec)
    assert features.take(np.arange(20))[:, 0].tolist() == list(range(20))
    for use in (features.take, lambda rows: features.read(rows, features.empty(len(rows))), features.verify):
        with pytest.raises(DamagedShard, match="row group 2"):
            use(np.array([25]))
    assert features.take(np.array([39]))[:, 0].tolist() == [39]


@pytest.mark.parametrize("column", ["key", "n_tokens", "truncated"])
def test_a_flipped_bit_of_another_column_is_found(tmp_path, column):
    path = Path(filled(tmp_path / "store" / "set", range(ROWS)).shards[0])
    flip(path, page_start(path, column), 3)
    with pytest.raises(DamagedShard, match="not what was written"):
        served(tmp_path / "store" / "set", "mapped")


def test_keys_are_verified_before_anything_asks_for_them(tmp_path):
    path = Path(filled(tmp_path / "store" / "set", range(ROWS)).shards[0])
    flip(path, page_start(path, "key") + 40, 0)
    with pytest.raises(DamagedShard, match="keys of row group 0 are not what was written"):
        FeatureTable(tmp_path / "store" / "set").shards  # noqa: B018


def harm(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "is missing":
        path.unlink()
    elif how == "it is empty":
        path.write_bytes(b"")
    elif how == "it was cut off":
        path.write_bytes(data[:-9] + b"\0" * 9)
    elif how == "the log says":
        path.write_bytes(data[:-50])
    else:
        pq.write_table(pa.table({"text": ["a"]}), path)
        path.write_bytes(path.read_bytes().ljust(len(data), b"\0")[: len(data)])


@pytest.mark.parametrize(
    "how", ["is missing", "it is empty", "it was cut off", "the log says", "is no Parquet file"]
)
def test_a_shard_that_is_not_what_was_written_is_named(tmp_path, how):
    path = Path(filled(tmp_path / "a store" / "set", range(ROWS)).shards[0])
    harm(path, how)
    with pytest.raises(DamagedShard, match=how) as caught:
        FeatureTable(tmp_path / "a store" / "set").shards  # noqa: B018
    assert str(path) in str(caught.value)
    assert f"enc store verify '{tmp_path / 'a store'}' --repair" in str(caught.value)


def test_another_file_under_the_name_is_refused(tmp_path):
    paths = [Path(filled(tmp_path / "store" / name, range(ROWS)).shards[0]) for name in ("a", "b")]
    table = pq.read_table(paths[1]).slice(0, ROWS)
    pq.write_table(table.select(["n_tokens", "truncated"]), paths[0])
    with pytest.raises(DamagedShard, match="the log says"):
        FeatureTable(tmp_path / "store" / "a").shards  # noqa: B018


def committed_as_before(folder: Path, **options) -> FeatureTable:
    """A table whose only shard was written, and named, as other tools and older releases do."""
    table = filled(folder, range(ROWS))
    written = Path(table.shards[0])
    rewritten = folder / "part-0.parquet"
    pq.write_table(pq.read_table(written), rewritten, **options)
    table.commit([(rewritten, ROWS)], table.logged)
    return table


PLAIN = dict(compression="none", use_dictionary=False, write_statistics=False, column_encoding=None)
PAGES = dict(compression="none", use_dictionary=False, max_rows_per_page=7)


@pytest.mark.parametrize("options", [PLAIN, dict(compression="zstd")], ids=["plain", "compressed"])
def test_shards_without_checksums_are_open_as_before(tmp_path, options):
    committed_as_before(tmp_path / "store" / "set", **options)
    assert served(tmp_path / "store" / "set", "mapped").tolist() == list(range(ROWS))


def test_a_shard_of_many_pages_with_checksums_is_verified_too(tmp_path):
    table = committed_as_before(tmp_path / "store" / "set", write_page_checksum=True, **PAGES)
    path = Path(table.shards[0])
    flip(path, path.read_bytes().index(np.full(4, 23, np.float32).tobytes()), 2)
    with pytest.raises(DamagedShard, match="is damaged"):
        served(tmp_path / "store" / "set", "ram")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [PLAIN, dict(compression="zstd")], ids=["plain", "compressed"])
def test_features_that_are_not_finite_are_never_served(tmp_path, number, dtype, options):
    table = filled(tmp_path / "store" / "set", range(ROWS), dtype=dtype)
    old = pq.read_table(table.shards[0])
    features = np.ones((ROWS, 4), table.spec.numpy_dtype)
    features[7, 2] = number
    column = pa.FixedSizeBinaryArray.from_buffers(old.schema.types[3], ROWS, [None, pa.py_buffer(features)])
    pq.write_table(old.set_column(3, old.schema.field(3), column), table.path / "part-0.parquet", **options)
    table.commit([(table.path / "part-0.parquet", ROWS)], table.logged)
    with pytest.raises(DamagedShard, match="not finite"):
        served(tmp_path / "store" / "set", "streamed")


def test_features_that_are_not_finite_are_never_written(tmp_path):
    writer = ShardWriter(tmp_path / "s.parquet", fake_spec())
    keys = pa.array([b"k" * 32], pa.binary())
    with pytest.raises(StoreError, match="are not finite"):
        writer.write(keys, np.ones(1, np.int32), np.zeros(1, bool), np.full((1, 4), np.nan))
    writer.discard()


def test_the_name_of_a_shard_has_the_checksum_of_its_footer(tmp_path):
    path = Path(filled(tmp_path / "store" / "set", range(ROWS)).shards[0])
    assert is_finished_name(path.name)
    assert not is_open_name(path.name)
    other = path.with_name(path.name.replace(path.name[-16:-8], "00000000"))
    shutil.copy(path, other)
    with pytest.raises(DamagedShard, match="its footer is not what was written"):
        shard.Shard(other, fake_spec())


def test_a_shard_that_another_tool_wrote_without_a_count_is_counted(tmp_path):
    table = filled(tmp_path / "store" / "set", range(ROWS))
    log = table.path / "_delta_log" / f"{1:020}.json"
    text = log.read_text()
    assert "numRecords" in text
    log.write_text(re.sub(r'"stats":"{.*?}"', '"stats":null', text))
    assert "numRecords" not in log.read_text()
    assert FeatureTable(table.path).rows == ROWS
    assert len(FeatureTable(table.path).shards) == 1
