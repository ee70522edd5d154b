from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from enc.store import FeatureTable, Store, StoreError
from fakes import fake_spec
from feature_sets import filled


def test_a_store_is_its_path(tmp_path):
    for store in (Store(tmp_path), Store(str(tmp_path)), Store(Store(tmp_path))):
        assert store.path == Path(store) == tmp_path
        assert store == Store(tmp_path)
        assert (str(store), repr(store)) == (str(tmp_path), f"Store({str(tmp_path)!r})")


def test_feature_sets_by_name(tmp_path):
    store = tmp_path / "store"
    with pytest.raises(StoreError, match="there is no store at"):
        Store(store).feature_sets()
    Store(store).create("one", fake_spec())
    assert Store(store).open().name == "one"
    Store(store).create("two", fake_spec(max_length=9))
    assert Store(store).feature_sets() == ["one", "two"]
    with pytest.raises(StoreError, match=r"several feature sets \(it has: one, two\)"):
        Store(store).open()
    with pytest.raises(StoreError, match=r"no feature set 'three' in .* \(it has: one, two\)"):
        Store(store).open("three")


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Store(tmp_path / "file").create("set", fake_spec())
    with pytest.raises(StoreError, match="is not a store"):
        Store(tmp_path).create("set", fake_spec())
    for name in ("", "a/b", "..", "_x"):
        with pytest.raises(StoreError, match="cannot name a feature set"):
            Store(tmp_path / "new").create(name, fake_spec())
    DeltaTable.create(tmp_path / "s" / "alien", pa.schema([pa.field("x", pa.int64())]))
    with pytest.raises(StoreError, match="not one of enc's"):
        Store(tmp_path / "s").open()
    # Another process may be about to make a feature set: its folder is there before the log.
    (tmp_path / "begun" / "set" / "_delta_log").mkdir(parents=True)
    with pytest.raises(StoreError, match="is not a store"):
        Store(tmp_path / "begun").feature_sets()
    Store(tmp_path / "begun").create("other", fake_spec())
    assert Store(tmp_path / "begun").feature_sets() == ["other"]


def test_a_store_is_no_feature_set(tmp_path):
    filled(tmp_path / "store" / "words", range(3))
    with pytest.raises(StoreError, match=r"is a store, not a feature set; .* Store\('.*'\)\.open\('words'\)"):
        FeatureTable(tmp_path / "store")
    with pytest.raises(StoreError, match=r"no feature set 'other' in .*store' \(it has: words\); name one"):
        Store(tmp_path / "store").open("other")
