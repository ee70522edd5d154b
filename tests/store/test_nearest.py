import pytest
from enc.store import Source, SourceError, Store, StoreError
from enc.store.nearest import did_you_mean, did_you_mean_path, nearest, unknown
from enc.store.source import pick_columns


@pytest.mark.parametrize(
    ("name", "found"), [("sentense", "sentence"), ("LABEL", "label"), ("lable", "label"), ("Text", "text")]
)
def test_the_nearest_name_is_found_whatever_its_case(name, found):
    assert nearest(name, ["id", "sentence", "label", "text"]) == [found]
    assert did_you_mean(name, ["id", "sentence", "label", "text"]) == f". Did you mean '{found}'?"


def test_nothing_is_said_where_nothing_is_near():
    assert did_you_mean("xyz", ["sentence", "label"]) == ""
    assert did_you_mean("", []) == ""


def test_an_unknown_name_is_told_with_those_that_there_are():
    assert unknown("pooling", "meen", ["mean", "cls"]) == (
        "unknown pooling 'meen'; there are mean, cls. Did you mean 'mean'?"
    )


def test_paths(tmp_path):
    (tmp_path / "reviews").mkdir()
    file = tmp_path / "reviews" / "train.tsv"
    file.write_text("text\n")
    assert did_you_mean_path(tmp_path / "reviews" / "trian.tsv") == f". Did you mean '{file}'?"
    assert did_you_mean_path(tmp_path / "review" / "train.tsv") == f". Did you mean '{file}'?"
    nearest_folder = f". Did you mean '{tmp_path / 'reviews'}'?"
    assert did_you_mean_path(tmp_path / "review" / "other.csv") == nearest_folder
    assert did_you_mean_path(tmp_path / "xyz.tsv") == ""
    assert did_you_mean_path(file) == ""


def test_files_columns_and_feature_sets_that_are_not_there(tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("reviews.tsv", "sentence\tlabel\nfine\t1\n")
    with pytest.raises(SourceError, match=r"no file 'revews.tsv'. Did you mean 'reviews.tsv'\?"):
        Source("revews.tsv").files()
    with pytest.raises(SourceError, match=r"pass --text-column. Did you mean 'sentence'\?"):
        pick_columns(Source("r.tsv", text_column="sentense"), ["sentence", "label"], "r.tsv")
    with pytest.raises(StoreError, match="there is no store at 'feature'"):
        Store("feature").feature_sets()
