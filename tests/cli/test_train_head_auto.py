"""A head chosen without an expert, through the command."""

import json

import pyarrow.parquet as pq
import pytest
from enc.engine import Head


def test_from_texts_to_a_head_that_scores(enc, reviews, tiny_bert, tmp_path):
    head, store = tmp_path / "head", tmp_path / "store"
    told = enc(
        "train-head", reviews, "--auto", "--minutes", 5, "--model", tiny_bert, "--max-length", 16,
        "--folds", 3, "--store", store, "--output", head, "--json", "--report",
    )  # fmt: skip
    summary = json.loads(told.stdout)
    tried = {one["name"]: one for one in summary["auto"]["tried"]}
    kept = [one for one in tried.values() if one["is_kept"]]
    assert len(kept) == 1
    assert summary["accuracy"] == pytest.approx(kept[0]["metric"])
    assert {"the most frequent answer", "words alone", "mean of layers 1-2"} <= set(tried)
    for line in ("60 rows, 3 folds, at most 5 minutes", "to encode", "rows/s", "next, the most promising"):
        assert line in told.stderr
    assert Head.load(head).record["command"].startswith("enc")
    assert "report written" in told.stderr
    assert "Worst classified rows" in (head / "report.html").read_text(encoding="utf-8")
    scored = tmp_path / "out.parquet"
    told = enc("score", reviews, scored, "--head", head, "--store", store)
    assert pq.read_table(scored).num_rows == 60
    refused = enc("train-head", reviews, "--auto", "--store", store, "--output", reviews, code=2)
    assert "reviews.parquet" in refused.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--auto", "--valid-fraction", "0.2"], "leave out --valid-fraction, and judge"),
        (["--auto", "--test", "t.tsv"], "leave out --test, and judge"),
        (["--auto", "--solver", "lbfgs"], "--auto decides on --solver itself"),
        (["--auto", "--words"], "--auto decides on --words itself"),
        (["--auto", "--minutes", "0"], "minutes must be above 0"),
        (["--auto", "--minutes", "nan"], "minutes must be above 0"),
        (["--auto", "--folds", "1"], "folds"),
        (["--auto", "--folds", "70"], "70 folds need as many distinct texts; there are"),
        (["--auto", "--label-column", "stars"], "pass --task regression"),
        (["--valid-fraction", "0.2", "--minutes", "3"], "--minutes is for --auto"),
        (["--valid-fraction", "0.2", "--model", "minilm"], "--model is for --auto"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(enc, reviews, tmp_path, options, told):
    where = ("--store", tmp_path / "store", "--output", tmp_path / "head")
    refused = enc("train-head", reviews, *where, *options, code=2)
    assert told in refused.stderr
    assert not (tmp_path / "head").exists()
    assert not (tmp_path / "store").exists()
