"""Words beside a head, and alone, through the commands."""

import json

import pyarrow.parquet as pq
import pytest
from enc.engine import Head


def test_a_head_with_words_scores_evaluates_and_predicts(enc, build, reviews, tmp_path):
    store, head = build(), tmp_path / "head"
    told = enc(
        "train-head", reviews, "--folds", 3, *store, "--solver", "lbfgs", "--l2", 0.1, "--words",
        "--words-args", "kind=words,ngrams=1-2", "--output", head, "--json",
    )  # fmt: skip
    words = json.loads(told.stdout)["words"]
    assert words["features"] == "TF-IDF of words 1-2"
    assert "words alone are TF-IDF of words 1-2" in told.stderr
    titles = next(line for line in told.stderr.splitlines() if "without words" in line)
    assert titles.split("  ")[-3:] == ["held out", "without words", "words alone"]
    assert set(Head.load(head).record["words"]) >= {"alone", "without", "strength"}
    enc("score", reviews, tmp_path / "out.parquet", "--head", head, *store)
    scored = pq.read_table(tmp_path / "out.parquet")
    texts = scored["text"].to_pylist()[:5]
    lines = enc("predict", "--head", head, *texts, "--json").stdout.splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == scored["prediction"].to_pylist()[:5]
    found = json.loads(enc("evaluate", head, reviews, *store, "--json").stdout)
    right = [
        a == b for a, b in zip(*(scored[name].to_pylist() for name in ("label", "prediction")), strict=True)
    ]
    assert found["figures"]["metrics"]["accuracy"] == sum(right) / len(right)
    refused = enc("export-onnx", "--head", head, tmp_path / "head.onnx", code=2)
    assert "--without-words" in refused.output
    assert "plain weights" in enc("export-head", head, tmp_path / "head.pth", code=2).output


@pytest.mark.parametrize(("option", "is_told"), [("--baseline", True), ("--no-baseline", False)])
def test_words_alone_are_told(enc, build, reviews, tmp_path, option, is_told):
    store = build()
    told = enc(
        "train-head", reviews, "--valid-fraction", 0.3, *store, "--epochs", 1, option, "--output",
        tmp_path / "head", "--json",
    )  # fmt: skip
    assert ("words alone are TF-IDF of words 1-2 and characters 3-4" in told.stderr) == is_told
    assert ("baseline" in json.loads(told.stdout)) == is_told


def test_what_cannot_be_is_told_before_training(enc, build, reviews, tmp_path):
    train = ("train-head", reviews, "--valid-fraction", 0.3, *build(), "--output", tmp_path / "head")
    assert "add --words" in enc(*train, "--words-args", "kind=words", code=2).output
    refused = enc(*train, "--words", "--words-args", "sort=both", code=2)
    assert "no setting 'sort'" in refused.output
    assert "rows (" not in refused.output
