"""Pairs whose texts are encoded apart, through the commands, with a tiny random BERT."""

import json

import pytest

ROWS = "\n".join(
    f"{'good' * (i % 3 + 1)} {i % 7}\t{'good' * (i % 2 + 1)} {i % 5}\t{'no' if i % 3 > i % 2 else 'yes'}"
    for i in range(60)
)


@pytest.fixture
def pairs(write):
    return write("pairs.tsv", f"a\tb\tlabel\n{ROWS}\n")


@pytest.fixture
def columns():
    return ("--text-column", "a", "--pair-column", "b", "--pairs", "separate")


@pytest.fixture
def store(enc, pairs, columns, tiny_bert, tmp_path):
    """Build features of the pairs' texts."""

    def build(*options):
        folder = tmp_path / "features"
        enc("build-features", pairs, *columns, "--store", folder, "--model", tiny_bert, *options)
        return ("--store", folder)

    return build


def train(enc, pairs, columns, store, *options, code=0):
    output = ("--output", pairs.parent / "head")
    return enc("train-head", pairs, *columns, *store, *output, "--valid-fraction", 0.3, *options, code=code)


def test_from_pairs_to_predictions(enc, pairs, columns, store, tmp_path):
    where = store("--layers", "all", "--pooling", "mean,cls", "--name", "both")
    done = enc("build-features", pairs, *columns, *where, "--name", "both", "--json")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["rows"], summary["encoded"]) == (60, 0)
    found = train(enc, pairs, columns, where, "--solver", "lbfgs", "--combine", "cosines+words+rbf", "--json")
    assert json.loads(found.stdout)["train_rows"] + json.loads(found.stdout)["valid_rows"] == 60
    line = enc("predict", "--head", tmp_path / "head", "--pair", "good 1", "goodgood 2", "--json").stdout
    predicted = json.loads(line)
    assert predicted["prediction"] in ("yes", "no")
    assert predicted["tokens"].count("[CLS]") == 2
    assert predicted["segment_ids"] == sorted(predicted["segment_ids"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--combine", "cosine"], "unknown --combine 'cosine'; there are cosines, words, alignment"),
        (["--combine", "alignment"], "these features are pooled: build a feature set"),
        (["--combine-args", "components=8"], "--combine-args are of rbf"),
        (["--combine", "cosines", "--sweep", "combine=words"], "--combine or by --sweep combine=…"),
        (["--sweep", "combine=words,cosine"], "unknown --combine 'cosine'"),
        (["--batches", "streamed"], "--batches ram or mapped"),
    ],
)
def test_what_cannot_be_combined_is_told_in_a_line(enc, pairs, columns, store, options, message):
    failed = train(enc, pairs, columns, store(), *options, code=2)
    assert message in failed.stderr
    assert not (pairs.parent / "head").exists()


def test_separate_pairs_need_a_pair(enc, pairs, tiny_bert, tmp_path):
    where = ("--store", tmp_path / "features", "--model", tiny_bert)
    failed = enc("build-features", pairs, "--text-column", "a", "--pairs", "separate", *where, code=2)
    assert "--pairs separate is for pairs of texts: name the second text, --pair-column" in failed.stderr


def test_combinations_are_of_separate_pairs(enc, pairs, columns, store):
    failed = train(enc, pairs, columns[:4], store(), "--combine", "cosines", code=2)
    assert "add --pair-column and --pairs separate" in failed.stderr


def test_texts_of_joint_pairs_have_no_features_apart(enc, pairs, columns, tiny_bert, tmp_path):
    where = ("--store", tmp_path / "joint")
    enc("build-features", pairs, *columns[:4], *where, "--model", tiny_bert)
    failed = train(enc, pairs, columns, where, code=2)
    assert "have no features yet" in failed.stderr
    assert "--pair-column b --pairs separate" in failed.stderr


def test_a_head_of_two_encodings_is_no_single_graph_and_no_plain_weights(
    enc, pairs, columns, store, tmp_path
):
    train(enc, pairs, columns, store(), "--epochs", 1)
    failed = enc("export-onnx", tmp_path / "head.onnx", "--head", tmp_path / "head", code=2)
    assert "has no single graph; score with `enc score`" in failed.stderr
    failed = enc("export-head", tmp_path / "head", tmp_path / "head.pth", code=2)
    assert "say nothing without it" in failed.stderr


def test_scores_and_figures_of_a_file(enc, pairs, columns, store, tmp_path):
    where = store()
    train(enc, pairs, columns, where, "--solver", "lbfgs")
    head = ("--head", tmp_path / "head")
    done = enc("score", pairs, tmp_path / "out.parquet", *head, *where, "--label-column", "label", "--json")
    judged = enc("evaluate", tmp_path / "head", pairs, *where, "--json")
    assert json.loads(done.stdout)["scored"] == 60
    figures = json.loads(done.stdout)["metrics"]["prediction"]["metrics"]
    assert figures["accuracy"] == json.loads(judged.stdout)["figures"]["metrics"]["accuracy"]
