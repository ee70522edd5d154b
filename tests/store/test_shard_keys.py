"""Keys of a shard as they are read and verified: with and without Parquet's own reader."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from enc.store import FeatureTable, key_column, shard_writer, stored_keys
from enc.store.errors import DamagedShard
from enc.store.locations import ROW_BITS
from enc.store.shard_file import verified_footer
from enc.store.shard_keys import read_keys
from feature_sets import RAGGED, filled, key_of

SETTINGS = pytest.mark.parametrize("changes", [{}, RAGGED], ids=["pooled", "ragged"])


def keys_in(shard) -> list[bytes]:
    found = read_keys(shard)
    assert found is not None
    assert [first for _, first in found] == np.cumsum([0, *(len(words) for words, _ in found)])[:-1].tolist()
    return [row.tobytes() for words, _ in found for row in words]


def without_parquet(path: str, footer: bytes):
    raise AssertionError(f"pyarrow is asked for the footer of {path}")


@SETTINGS
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_what_is_read_of_a_small_footer_is_what_parquet_reads(tmp_path, changes, rows, monkeypatch):
    (shard,) = filled(tmp_path / "store" / "set", range(rows), **changes).logged
    footer, is_ours = verified_footer(shard.path, fd := os.open(shard.path, os.O_RDONLY))
    os.close(fd)
    with monkeypatch.context() as patch:
        patch.setattr(key_column, "parsed_footer", without_parquet)
        column = key_column.key_column(shard.path, footer, is_ours)
        assert keys_in(shard) == [key_of(n) for n in range(rows)]
    group = pq.read_metadata(shard.path).row_group(0)
    assert (column.all_rows, *column.rows) == (group.num_rows, group.num_rows) == (rows, rows)
    for name in ("data_page_offset", "total_compressed_size", "num_values", "compression", "encodings"):
        assert getattr(column.chunks[0], name) == getattr(group.column(0), name)


def test_a_footer_of_several_row_groups_or_of_another_name_is_read_by_parquet(tmp_path, monkeypatch):
    (shard,) = filled(tmp_path / "store" / "one", range(10)).logged
    os.rename(shard.path, other := str(Path(shard.path).with_name("part-0.parquet")))
    assert keys_in(shard._replace(path=other)) == [key_of(n) for n in range(10)]
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 4)
    (several,) = filled(tmp_path / "store" / "several", range(10)).logged
    assert keys_in(several) == [key_of(n) for n in range(10)]
    monkeypatch.setattr(key_column, "parsed_footer", without_parquet)
    for one in (shard._replace(path=other), several):
        with pytest.raises(AssertionError, match="pyarrow is asked"):
            read_keys(one)


@SETTINGS
def test_whichever_bit_is_flipped_keys_are_what_was_written_or_refused(tmp_path, changes):
    (shard,) = filled(tmp_path / "store" / "set", range(3), **changes).logged
    data, expected, refused = Path(shard.path).read_bytes(), keys_in(shard), 0
    with open(shard.path, "r+b", buffering=0) as file:
        for at, byte in enumerate(data):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), at)
                try:
                    assert keys_in(shard) == expected
                except DamagedShard:
                    refused += 1
            os.pwrite(file.fileno(), bytes([byte]), at)
    footer = int.from_bytes(data[-8:-4], "little") + 8
    assert refused >= 8 * (footer + 3 * len(expected[0]))


@pytest.mark.parametrize("share", [0, 2], ids=["one thread", "several threads"])
def test_keys_are_the_same_by_one_thread_and_by_several(tmp_path, share, monkeypatch):
    monkeypatch.setattr(stored_keys, "_IN_MEMORY", share)
    monkeypatch.setattr(stored_keys, "_RUN_SHARDS", 2)
    filled(tmp_path / "store" / "set", *(range(n, n + 3) for n in range(0, 27, 3)))
    table = FeatureTable(tmp_path / "store" / "set")
    found = list(stored_keys.stored_keys(None, table.listed_shards, None))
    assert len(found) == 5
    located = {
        int(place): row.tobytes() for words, places in found for row, place in zip(words, places, strict=True)
    }
    keys = [pq.read_table(path, columns=["key"]).column(0).to_pylist() for path in table.shards]
    assert located == {(n << ROW_BITS) + i: key for n, some in enumerate(keys) for i, key in enumerate(some)}
