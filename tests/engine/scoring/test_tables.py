import pytest
from enc.engine import Head, Labels
from enc.engine.scoring.tables import feature_table, source_for
from enc.store import Source, SourceError, SpecError, Store
from fakes import fake_spec


def head(name="set", text="text", pair=None, **spec):
    return Head("linear", Labels(("a", "b")), fake_spec(**spec), {}, name, text, pair)


def test_columns_default_to_those_of_the_training():
    found = source_for({"": head(text="body", pair="title")}, "x.parquet")
    assert (found.text_column, found.pair_column) == ("body", "title")
    given = source_for({"": head(text="body")}, Source("x.parquet", text_column="own"))
    assert (given.text_column, given.pair_column) == ("own", None)
    two = {"a_": head(text="body"), "b_": head(text="text")}
    with pytest.raises(SourceError, match="were trained on different columns; pass --text-column"):
        source_for(two, "x.parquet")
    assert source_for(two, "x.parquet", text_column="text").text_column == "text"


def test_the_table_of_a_head(tmp_path):
    store = Store(tmp_path / "store")
    assert feature_table(head(), store, create=False) is None
    made = feature_table(head(), store, create=True)
    assert made is not None
    assert made.name == "set"
    wide = store.create("wide", fake_spec(pooling=("cls", "mean"), max_length=9))
    found = feature_table(head("gone", pooling=("cls",), max_length=9), store, create=True)
    assert found is not None
    assert found.path == wide.path  # which has the head's part among others
    with pytest.raises(
        SpecError, match=r"not of the setting the head was trained on \(max_length: 8, not 7\)"
    ):
        feature_table(head(max_length=7), store, create=True)
