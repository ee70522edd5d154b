import errno
import os
import time

import pytest
from enc.store import Store, StoreError, work
from enc.store.work import WORK_FOLDER, remove_work, using, vacuum_work, work_folder
from feature_sets import filled


@pytest.fixture
def store(tmp_path):
    filled(tmp_path / "store" / "set", range(5))
    return tmp_path / "store"


def left(store, hours=0.0):
    """A folder of work that was used last so many hours ago."""
    folder = work_folder(store, f"{hours:g}")
    with using(folder):
        (folder / "texts-1.parquet").write_bytes(b"texts")
    for path in folder.iterdir():
        os.utime(path, (time.time() - hours * 3600,) * 2)
    return folder


def test_work_is_no_feature_set(store):
    left(store)
    assert Store(store).feature_sets() == ["set"]
    with pytest.raises(StoreError, match="there is no feature set '_work'"):
        Store(store).open(WORK_FOLDER)
    with pytest.raises(StoreError, match="'_work' cannot name a feature set"):
        Store(store).create(WORK_FOLDER, Store(store).open().spec)


def test_a_store_may_begin_with_work(store, tmp_path):
    left(tmp_path / "new")
    spec = Store(store).open().spec
    assert Store(tmp_path / "new").create("set", spec).rows == 0


def test_what_is_used_stays(store):
    folder = left(store, hours=100)
    with using(folder):
        assert not remove_work(folder)
        os.utime(folder / "used", (0, 0))
        os.utime(folder / "texts-1.parquet", (0, 0))
        assert vacuum_work(store, retain_hours=0) == []
    assert remove_work(folder)
    assert not (store / WORK_FOLDER).exists()
    assert remove_work(folder)  # which is gone


def test_a_vacuum_removes_what_was_used_long_ago(store):
    old, young = left(store, hours=200), left(store, hours=1)
    found = vacuum_work(store, retain_hours=168, dry_run=True)
    assert [(one.folder, one.files, one.bytes) for one in found] == [(str(old), 2, 5)]
    assert old.exists()
    assert vacuum_work(store, retain_hours=168) == found
    assert (old.exists(), young.exists()) == (False, True)
    with using(young):  # which makes it younger
        pass
    assert vacuum_work(store, retain_hours=0.5) == []
    assert len(vacuum_work(store, retain_hours=0)) == 1
    assert vacuum_work(store, retain_hours=0) == []


def test_where_nobody_can_tell_what_is_used_it_stays(store, monkeypatch):
    folder = left(store, hours=1000)

    def no_locks(path):
        raise OSError(errno.ENOLCK, "no locks", str(path))

    monkeypatch.setattr(work, "exclusive_lock", no_locks)
    assert vacuum_work(store, retain_hours=0) == []
    assert not remove_work(folder)
    assert folder.exists()


def test_a_folder_in_which_nothing_was_left_goes_by_itself(store):
    with using(work_folder(store, "none")):
        pass
    assert not (store / WORK_FOLDER).exists()


def test_work_in_an_object_store_is_kept_a_day(objects):
    folder = work_folder(Store("s3://bucket/store").path, "id")
    with using(folder):
        (folder / "texts-1.parquet").write_bytes(b"texts")
    assert vacuum_work("s3://bucket/store", retain_hours=0) == []
    objects.buckets["bucket"] = {
        name: (data, time.time() - 25 * 3600) for name, (data, _) in objects.objects.items()
    }
    assert len(vacuum_work("s3://bucket/store", retain_hours=0)) == 1
    assert not [name for name in objects.objects if WORK_FOLDER in name]
