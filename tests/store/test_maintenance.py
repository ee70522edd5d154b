"""Verifying, compacting, vacuuming and deleting: nothing is lost, and readers go on."""

import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from enc.store import (
    FeatureTable,
    Source,
    SourceError,
    SpecError,
    Store,
    StoreError,
    shard,
    shard_writer,
    writer,
)
from enc.store.batches import MappedFeatures
from enc.store.compact import compact
from enc.store.compare import compare
from enc.store.delete import delete
from enc.store.errors import DamagedLog, DamagedShard
from enc.store.history import Life, lives, spans
from enc.store.locks import exclusive_lock
from enc.store.rewrite import LOCK_FILE, find_doubles, maintained, read_rows
from enc.store.shard import Shard
from enc.store.shard_file import open_name
from enc.store.vacuum import is_expired, vacuum
from enc.store.verify import verify
from enc.store.writer import NewShard, clear_left_shards
from fakes import fake_spec
from feature_sets import add, filled, flip, key_of, page_start, served


def numbered(*numbers: range) -> dict[int, float]:
    return {n: float(n) for some in numbers for n in some}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store" / "set"


# --- compact


def test_small_shards_become_large_ones(folder):
    filled(folder, *(range(n, n + 5) for n in range(0, 50, 5)))
    done = compact(folder)
    assert (done.shards_before, done.shards_after, done.rows, done.doubles) == (10, 1, 50, 0)
    assert served(folder) == numbered(range(50))
    assert compact(folder).version == done.version
    assert pq.read_table(FeatureTable(folder).shards[0]).column("n_tokens").to_pylist() is not None


def test_shards_are_filled_up_to_their_size(folder, monkeypatch):
    filled(folder, *(range(n, n + 10) for n in range(0, 100, 10)))
    size = FeatureTable(folder).logged[0].bytes
    monkeypatch.setattr(writer, "SHARD_BYTES", size * 4 + size // 2)
    assert compact(folder).shards_after == 3
    assert served(folder) == numbered(range(100))


def test_one_row_is_left_of_a_key_that_two_wrote_and_it_is_the_one_that_readers_had(folder):
    table = filled(folder, range(10))
    add(table, range(5, 15), plus=0.25)
    before = served(folder)
    assert find_doubles(table.listed_shards).count == 5
    assert compact(folder).doubles == 5
    assert served(folder) == before
    assert FeatureTable(folder).rows == 15


@pytest.mark.parametrize("keys", [1, 1 << 18])
def test_doubles_are_found_however_many_ranges_there_are(folder, keys, monkeypatch):
    monkeypatch.setattr("enc.store.key_ranges.RANGE_KEYS", keys)
    numbers = range(0, 1 << 255, 1 << 251)  # of keys whose first bytes differ
    table = FeatureTable.create(folder, fake_spec())
    for _ in range(2):
        with table.writer() as appending:
            keys = [n.to_bytes(32) for n in numbers]
            appending.write(
                shard.pa.array(keys, shard.pa.binary()),
                np.ones(len(keys), np.int32), np.zeros(len(keys), bool), np.ones((len(keys), 4)),
            )  # fmt: skip
    assert find_doubles(table.listed_shards).count == len(numbers)


def test_another_tools_layout_becomes_the_mapped_one(folder):
    filled(folder, range(6))
    DeltaTable(folder).delete("n_tokens = 2")
    assert not Shard(FeatureTable(folder).shards[0], fake_spec()).plain
    compact(folder)
    assert Shard(FeatureTable(folder).shards[0], fake_spec()).plain
    assert served(folder) == numbered(range(2), range(3, 6))


def test_a_reader_goes_on_during_compaction_and_vacuum(folder):
    filled(folder, range(10), range(10, 20))
    table = FeatureTable(folder)
    shards = table.shards
    reading = MappedFeatures(shards, table.spec)
    version = table.version
    del table, shards
    compact(folder)
    done = vacuum(folder, retain_hours=0)
    assert (done.removed, done.held, done.retained) == ([], [version], 2)
    assert reading.take(np.array([3, (1 << 40) + 4])).shape == (2, 4)
    del reading
    assert len(vacuum(folder, retain_hours=0).removed) == 2
    assert served(folder) == numbered(range(20))


def test_only_one_at_a_time_works_on_a_table(folder):
    filled(folder, range(3))
    with maintained(folder):
        for work in (compact, vacuum, lambda path: delete(path, where="true")):
            with pytest.raises(StoreError, match=r"another `enc store` command is at work on"):
                work(folder)
    assert compact(folder).rows == 3
    assert (folder / LOCK_FILE).exists()


def test_two_that_remove_the_same_shard_contradict_each_other(folder):
    filled(folder, range(3))
    first, second = FeatureTable(folder), FeatureTable(folder)
    first.commit([], first.logged)
    with pytest.raises(StoreError, match="cannot commit"):
        second.commit([], second.logged)


# --- vacuum


def test_left_shards_are_cleared_unless_their_owner_lives(folder):
    table = filled(folder, range(3))
    living = NewShard(table)
    left = [folder / open_name() for _ in range(3)]
    for path in left:
        path.write_bytes(b"half a shard")
    assert sorted(clear_left_shards(folder)) == sorted(left)
    assert living.path.exists()
    assert vacuum(folder, retain_hours=0).removed == []
    living.discard()
    assert not list(folder.glob(".part-*"))


def test_a_new_run_clears_what_a_killed_one_left(folder):
    table = filled(folder, range(3))
    (folder / open_name()).write_bytes(b"half a shard")
    add(table, range(3, 5))
    assert not list(folder.glob(".part-*"))


def test_a_finished_shard_that_was_not_committed_is_removed_unless_its_owner_lives(folder):
    table = filled(folder, range(3))
    owned = NewShard(table)
    owned.write(*next(read_rows(table.shards[0], table.spec)))
    owned.finish()
    assert vacuum(folder, retain_hours=0).removed == []
    owned.release()
    assert vacuum(folder, retain_hours=0, dry_run=True).removed == [owned.path.name]
    assert vacuum(folder, retain_hours=0).removed == [owned.path.name]
    assert served(folder) == numbered(range(3))


def test_a_file_that_nobody_can_own_is_left_until_it_is_old(folder):
    filled(folder, range(3))
    foreign = folder / "part-0.parquet"
    foreign.write_bytes(b"of another tool")
    assert vacuum(folder, retain_hours=0).removed == []
    os.utime(foreign, (time.time() - 9000, time.time() - 9000))
    assert vacuum(folder, retain_hours=0).removed == ["part-0.parquet"]


def test_old_versions_are_kept_for_their_time(folder):
    filled(folder, range(3), range(3, 6))
    compact(folder)
    kept = vacuum(folder)
    assert (kept.removed, kept.retained) == ([], 2)
    assert DeltaTable(folder, version=2).get_add_actions().num_rows == 2
    assert len(vacuum(folder, retain_hours=0).removed) == 2


def test_lives_of_shards(folder):
    filled(folder, range(3), range(3, 6))
    compact(folder)
    log = lives(folder)
    assert sorted((life.added, life.removed) for life in log.values()) == [(1, 3), (2, 3), (3, None)]
    assert [Life(1, 3).is_in(v) for v in range(5)] == [False, True, True, False, False]
    assert spans([Life(1, 3), Life(2, 5), Life(7, 8), Life(9)], 11) == [(1, 4), (7, 7), (9, 10)]
    assert spans([Life(4)], 4) == []
    assert is_expired(Life(1, 3, 50.0), [3, 4], before=50.0)
    assert not is_expired(Life(1, 3, 50.0), [2], before=60.0)
    assert not is_expired(Life(1, 3, 50.0), [], before=49.0)


# --- delete


def test_texts_are_deleted_and_told_where_they_still_stand(folder, write):
    table = filled(folder, range(10), range(10, 20))
    first = DeltaTable(folder).version()
    done = delete(table, where="n_tokens IN (3, 15, 99)")
    assert (done.asked, done.deleted, done.unknown) == (2, 2, 0)
    assert done.still_in == [(1, first)]
    assert len(done.files) == 2
    expected = numbered(range(20))
    del expected[3], expected[15]
    assert served(folder) == expected
    vacuum(folder, retain_hours=0)
    assert served(folder) == expected
    assert not any(key_of(3) in path.read_bytes() for path in folder.glob("*.parquet"))
    again = delete(folder, where="n_tokens IN (3, 15)")
    assert (again.asked, again.deleted, again.files) == (0, 0, [])


def test_what_is_only_in_older_versions_is_told_too(folder):
    filled(folder, range(10), range(10, 20))
    compact(folder)
    done = delete(folder, where="n_tokens = 3")
    assert done.still_in == [(1, 3)]
    assert len(done.files) == 2


def test_texts_of_a_file_are_deleted(tmp_path, write):
    from enc.engine import build_features
    from fakes import FakeEncoder

    texts = write("texts.tsv", "sentence\n" + "".join(f"text {'x' * n}\n" for n in range(1, 9)))
    build_features(Source(texts), tmp_path / "store", FakeEncoder(), name="set")
    asked = write("asked.tsv", "sentence\ttext\ntext xx\n" + "text xxx\n" + "never seen\n")
    asked.write_text("sentence\ntext xx\ntext xxx\nnever seen\ntext xx\n")
    done = delete(tmp_path / "store" / "set", texts=Source(asked))
    assert (done.asked, done.deleted, done.unknown) == (3, 2, 1)
    encoder = FakeEncoder()
    build_features(Source(texts), tmp_path / "store", encoder, name="set")
    assert encoder.encoded == 2


@pytest.mark.parametrize(
    "where",
    [
        "label = 1",
        "true; DROP TABLE x",
        "true) ; COPY (SELECT 1) TO '{folder}/stolen.csv'; SELECT (true",
        "(SELECT count(*) FROM read_csv('{folder}/secret.csv')) = 1",
        "n_tokens = (",
    ],
)
def test_a_condition_reads_the_shards_and_nothing_else(folder, where):
    filled(folder, range(3))
    (folder / "secret.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="--where"):
        delete(folder, where=where.format(folder=folder))
    assert not (folder / "stolen.csv").exists()
    assert served(folder) == numbered(range(3))


def test_deleting_everything_leaves_an_empty_table(folder):
    filled(folder, range(3))
    assert delete(folder, where="true").deleted == 3
    assert served(folder) == {}
    assert delete(folder, where="true").deleted == 0
    with pytest.raises(SourceError, match="say what to delete"):
        delete(folder)


def test_a_failed_rewrite_leaves_everything_as_it_was(folder, monkeypatch):
    filled(folder, range(3), range(3, 6))
    files = sorted(folder.glob("*.parquet"))
    monkeypatch.setattr(FeatureTable, "commit", lambda *_, **__: (_ for _ in ()).throw(StoreError("full")))
    with pytest.raises(StoreError, match="full"):
        compact(folder)
    assert sorted(folder.glob("*.parquet")) == files
    assert served(folder) == numbered(range(6))


# --- verify


def test_a_sound_table(folder):
    table = filled(folder, range(10))
    add(table, range(8, 12))
    found = verify(folder.parent, "set")
    assert found.is_sound
    assert (found.shards, found.rows, found.damaged, found.doubles, found.unchecked) == (2, 14, [], 2, 0)


def test_broken_row_groups_are_dropped_and_the_others_kept(folder, monkeypatch):
    monkeypatch.setattr(shard_writer, "ROW_GROUP_ROWS", 10)
    table = filled(folder, range(30), range(30, 40))
    broken = Path(next(path for path in table.shards if Shard(path, table.spec).rows == 30))
    flip(broken, page_start(broken, "features", 1) + 5, 0)
    found = verify(folder.parent, "set")
    assert not found.is_sound
    assert found.damaged == [f"shard {broken} is damaged: row group 1 is not what was written"]
    assert found.saved is None
    repaired = verify(folder.parent, "set", repair=True)
    assert repaired.is_sound
    assert (repaired.saved, repaired.lost, repaired.rows) == (20, 10, 30)
    assert served(folder) == numbered(range(10), range(20, 40))
    assert verify(folder.parent, "set").damaged == []


@pytest.mark.parametrize("column", ["key", "n_tokens", "features"])
def test_every_column_is_looked_at(folder, column):
    table = filled(folder, range(10), range(10, 20))
    path = Path(table.shards[0])
    flip(path, page_start(path, column) + 2, 4)
    assert len(verify(folder.parent, "set").damaged) == 1
    assert verify(folder.parent, "set", repair=True).lost == 10
    assert len(served(folder)) == 10


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "foreign"])
def test_shards_that_cannot_be_opened_are_dropped(folder, how):
    path = Path(filled(folder, range(10), range(10, 20)).shards[0])
    if how == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "foreign": b"x" * len(data)}[how])
    assert len(verify(folder.parent, "set").damaged) == 1
    assert verify(folder.parent, "set", repair=True).is_sound
    assert len(served(folder)) == 10


def test_a_shard_that_may_not_be_read_is_not_dropped(folder, monkeypatch):
    path = Path(filled(folder, range(10)).shards[0])
    really = os.open

    def denied(name, *arguments, **options):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(name))
        return really(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("enc.store.shard_file.os.open", denied)
        found = verify(folder.parent, "set", repair=True)
        assert not found.is_sound
        assert found.damaged == []
        assert re.search(r"Permission denied; check its permissions", found.unreadable[0])
    assert served(folder) == numbered(range(10))


@pytest.mark.parametrize("damage", ["garbage", "gone", "no folder"])
def test_a_damaged_log_is_made_anew_from_the_shards(folder, damage):
    table = filled(folder, range(10), range(10, 20))
    delete(table, where="n_tokens = 3")
    log = folder / "_delta_log"
    if damage == "garbage":
        (log / f"{0:020}.json").write_text("{broken")
    elif damage == "gone":
        for path in log.iterdir():
            path.unlink()
    else:
        shutil.rmtree(log)
    with pytest.raises(DamagedLog, match=r"the log of feature set .*enc store verify '.*' --repair"):
        FeatureTable(folder)
    assert Store(folder.parent).feature_sets() == ["set"]
    assert not verify(folder.parent, "set").is_sound
    repaired = verify(folder.parent, "set", repair=True)
    assert repaired.is_sound
    if damage == "garbage":  # what was deleted is still known
        assert 3 not in served(folder)
        assert len(served(folder)) == 19
    else:
        assert len(served(folder)) == 20


def test_a_log_of_a_later_release_is_not_made_anew(folder):
    filled(folder, range(3))
    log = folder / "_delta_log" / f"{0:020}.json"
    log.write_text(log.read_text().replace('\\"model\\"', '\\"later\\"'))
    before = log.read_text()
    with pytest.raises(SpecError, match="does not know"):
        verify(folder.parent, "set", repair=True)
    assert log.read_text() == before


def test_a_table_without_log_and_setting_cannot_be_repaired(folder):
    filled(folder, range(3))
    shutil.rmtree(folder / "_delta_log")
    (folder / "spec.json").unlink()
    with pytest.raises(StoreError, match=r"neither its log nor 'spec\.json' can be read"):
        verify(folder.parent, "set", repair=True)
    with pytest.raises(DamagedLog, match="its shards are there"):
        Store(folder.parent).create("set", fake_spec())


def test_an_empty_folder_is_not_a_feature_set(folder):
    filled(folder, range(3))
    (folder.parent / "empty").mkdir()
    with pytest.raises(
        StoreError, match=r"'.*empty' is not a feature set: it has no log; `enc build-features"
    ):
        Store(folder.parent).open("empty")
    assert Store(folder.parent).feature_sets() == ["set"]


# --- compare


def test_the_cosines_of_two_sets(tmp_path):
    one = filled(tmp_path / "one", range(1, 9))
    other = filled(tmp_path / "other", range(5, 9), range(9, 12))
    found = compare(one, other)
    assert (found.rows, found.only_first, found.only_second) == (4, 4, 3)
    assert found.mean == pytest.approx(1)
    assert found.max_difference == 0
    add(one, range(20, 21))
    add(other, range(20, 21), plus=0.5)
    assert compare(one, other).max_difference == 0.5
    turned = FeatureTable.create(tmp_path / "turned", fake_spec(pooling=("cls", "max")))
    with pytest.raises(SpecError, match="features of 'one' are 4 and of 'turned' 8"):
        compare(one, turned)
    with pytest.raises(StoreError, match="no text in common"):
        compare(one, filled(tmp_path / "apart", range(100, 103)))


def test_locks(tmp_path):
    path = tmp_path / "file"
    held = exclusive_lock(path, create=True)
    assert held
    assert exclusive_lock(path) is None
    held.release()
    again = exclusive_lock(path)
    assert again
    with pytest.raises(FileNotFoundError):
        exclusive_lock(tmp_path / "none")


def test_a_damaged_shard_is_named_by_compact(folder):
    path = Path(filled(folder, range(10), range(10, 20)).shards[0])
    flip(path, page_start(path, "features"), 1)
    with pytest.raises(DamagedShard, match=re.escape(str(path))):
        compact(folder)
