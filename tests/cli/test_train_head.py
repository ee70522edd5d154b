"""Heads, tasks and parts of features through the commands, with a tiny random BERT."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "columns", [("--label-column", "tags"), ("--label-column", "good", "--label-column", "bad")]
)
def test_several_labels(enc, build, reviews, tmp_path, columns, scored):
    store, head = build(), tmp_path / "head"
    result = enc(
        "train-head",
        reviews,
        "--valid",
        reviews,
        *store,
        *columns,
        "--output",
        head,
        "--metric",
        "f1_micro",
        "--epochs",
        4,
    )
    assert "rows (bad: 40, good: 45)" in " ".join(result.stdout.splitlines()[0].split()).replace(
        "good: 45, bad: 40", "bad: 40, good: 45"
    )
    assert "f1_micro" in next(line for line in result.stdout.splitlines() if line.startswith("epoch"))
    out = scored(store, head, "--proba")
    for labels, scores, good in zip(
        *(out[name].to_pylist() for name in ("prediction", "score", "proba_good")), strict=True
    ):
        assert len(labels) == len(scores)
        assert ("good" in labels) == (good > 0.5)
    lines = [
        json.loads(line)
        for line in enc("predict", "--head", head, "good bad 1", "x", "--json").stdout.splitlines()
    ]
    assert all(
        set(line["prediction"]) == {name for name, p in line["proba"].items() if p > 0.5} for line in lines
    )


def test_regression(enc, build, reviews, tmp_path, scored):
    store, head = build(), tmp_path / "head"
    options = (
        "--label-column",
        "stars",
        *store,
        "--output",
        head,
        "--learning-rate",
        0.05,
        "--schedule",
        "cosine",
        "--warmup",
        0.1,
    )
    assert "pass --task regression" in enc("train-head", reviews, "--valid", reviews, *options, code=2).stderr
    result = enc("train-head", reviews, "--valid", reviews, *options, "--task", "regression")
    assert "labels from 0 to 3.75" in result.stdout
    metrics = json.loads((head / "metrics.json").read_text())
    assert metrics.keys() >= {
        "loss",
        "pearson",
        "spearman",
        "mse",
        "mae",
        "parameters",
        "train_rows",
        "valid_rows",
        "epoch",
    }
    out = scored(store, head)
    assert out.column_names[-1] == "prediction"
    assert np.corrcoef(out["prediction"], np.array(out["stars"], float))[0, 1] == pytest.approx(
        metrics["pearson"], abs=1e-4
    )
    text = out["text"][7].as_py()
    answer = json.loads(enc("predict", "--head", head, text, "--json").stdout)
    assert answer == {"prediction": pytest.approx(out["prediction"][7].as_py(), abs=0.05)}
    titles, line = enc("predict", "--head", head, text).stdout.splitlines()
    assert titles.split() == ["prediction", "text"]
    assert line.split(maxsplit=1)[1] == " ".join(text.split())


def test_a_head_over_tokens(enc, build, reviews, tmp_path, scored):
    store, head = build("--pooling", "tokens"), tmp_path / "head"
    options = ("--valid", reviews, *store, "--output", head, "--learning-rate", 0.01)
    result = enc(
        "train-head",
        reviews,
        *options,
        "--head",
        "attention",
        "--head-args",
        "hidden=8,heads=2",
        "--early-stopping",
        2,
    )
    assert json.loads((head / "head.json").read_text())["arguments"] == {"hidden": 8, "heads": 2}
    lines = result.stdout.splitlines()
    assert "  true \\ predicted  False  True" in lines
    size = next(line for line in lines if "parameters for 60 training rows" in line)
    # 16 wide: 16 x 8 + 8 to project, 8 x 2 to score, 32 x 2 + 2 at the end.
    assert size == "218 parameters for 60 training rows: 3.6 a row"
    scored(store, head)
    alike = enc("train-head", reviews, *options, "--head", "cnn", "--epochs", 1).stdout
    assert "alike but for chance" in alike  # both are the same rows


@pytest.mark.parametrize("way", [("--valid-fraction", 0.4), ("--folds", 2)])
def test_a_quiet_training_tells_results_alone(enc, build, reviews, tmp_path, way):
    told = enc("train-head", reviews, *build(), *way, "--output", tmp_path / "head", "-q").stdout
    assert "epoch  1" not in told
    assert "rows (" not in told
    assert "accuracy" in told
    assert "head saved" in told


def test_a_head_needs_its_features(enc, build, reviews, tmp_path):
    store = build()
    options = ("--valid", reviews, *store, "--output", tmp_path / "head")
    assert "--pooling tokens" in enc("train-head", reviews, *options, "--head", "lstm", code=2).stderr
    error = enc(
        "train-head", reviews, *options, "--head", "mlp", "--head-args", "depth=3", code=2
    ).stderr.splitlines()[-1]
    assert error == "error: head 'mlp' has no argument 'depth' (it takes: hidden, dropout); mend --head-args"


def test_parts_are_trained_on_and_scored_with(enc, build, reviews, tmp_path, scored):
    store, head = build("--layers", "1-2", "--pooling", "cls,mean"), tmp_path / "head"
    options = ("train-head", reviews, "--valid", reviews, *store, "--output", head, "--json")
    whole = json.loads(enc(*options).stdout)["parameters"]
    part = json.loads(enc(*options, "--use", "layers=2,pooling=mean").stdout)["parameters"]
    assert (whole, part) == (2 * 4 * 16 + 2, 2 * 16 + 2)
    saved = json.loads((head / "head.json").read_text())
    assert (saved["features"]["spec"]["layers"], saved["features"]["spec"]["pooling"]) == ([2], ["mean"])
    assert saved["record"]["command"].startswith("enc ")
    known = scored(store, head)["score"].to_numpy()
    alone = scored(("--store", tmp_path / "fresh"), head)["score"].to_numpy()
    np.testing.assert_allclose(alone, known, atol=1e-4)
    assert "there is no layer 3; there are 1, 2" in enc(*options, "--use", "layers=3", code=2).stderr


def test_the_example_of_a_head_of_ones_own(enc, build, reviews, tmp_path, monkeypatch, scored):
    store, head = build("--pooling", "tokens"), tmp_path / "head"
    options = (
        "train-head",
        reviews,
        "--valid",
        reviews,
        *store,
        "--output",
        head,
        "--head",
        "gated_head:GatedHead",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    assert "run enc where gated_head lies" in enc(*options, "--allow-code", code=2).stderr
    shutil.copy(EXAMPLES / "gated_head.py", tmp_path)
    refused = "'gated_head:GatedHead' is a class that enc does not bring"
    assert refused in enc(*options, code=2).stderr
    sweep = (*options[:-2], "--sweep", "head=cnn,gated_head:GatedHead")
    assert refused in enc(*sweep, code=2).stderr
    assert "'allow_code' cannot be swept" in enc(*sweep, "--sweep", "allow_code=true", code=2).stderr
    options = (*options, "--allow-code", "--learning-rate", 0.05, "--json")
    summary = json.loads(enc(*options, "--head-args", "hidden=4").stdout)
    assert summary["accuracy"] > 0.8
    assert scored(store, head, "--allow-code").num_rows == 60
    scoring = ("score", reviews, tmp_path / "out.parquet", "--overwrite", "--head", head, *store)
    for command in (
        scoring,
        ("evaluate", head, reviews, *store),
        ("predict", "--head", head, "good"),
        ("export-onnx", "--head", head, tmp_path / "head.onnx"),
        ("export-head", head, tmp_path / "head.pth"),
    ):
        assert refused in enc(*command, code=2).stderr
    with (tmp_path / "gated_head.py").open("a") as file:
        file.write("# another one\n")
    monkeypatch.delitem(sys.modules, "gated_head")
    assert "was trained with a module 'gated_head' of SHA-256" in enc(*scoring, "--allow-code", code=2).stderr
    assert "gated_head" not in sys.modules


def test_the_tutorials_recipe_and_plain_weights(enc, build, reviews, tmp_path, scored):
    store = build("--recipe", "flat32", "--max-length", 32)
    options = (
        "train-head",
        reviews,
        "--valid",
        reviews,
        *store,
        "--output",
        tmp_path / "head",
        "--recipe",
        "flat32",
    )
    enc(*options, "--epochs", 2)
    config = json.loads((tmp_path / "head" / "head.json").read_text())["record"]["config"]
    assert (config["epochs"], config["batch_size"], config["optimizer"], config["standardize"]) == (
        2,
        16,
        "sgd",
        False,
    )
    result = enc("export-head", tmp_path / "head", tmp_path / "BERT_net.pth")
    assert "fc1.weight, fc1.bias; outputs in the order False, True" in result.stdout
    enc(
        "import-head",
        tmp_path / "BERT_net.pth",
        tmp_path / "again",
        *store,
        "--labels",
        "bad,good",
        "--text-column",
        "text",
    )
    before = scored(store, tmp_path / "head")["score"].to_numpy()
    np.testing.assert_allclose(scored(store, tmp_path / "again")["score"].to_numpy(), before, atol=1e-6)
    assert "good" in enc("predict", "--head", tmp_path / "again", "good good").stdout
    error = enc(
        "import-head", tmp_path / "BERT_net.pth", tmp_path / "more", *store, "--labels", "a,b,c", code=2
    ).stderr
    assert "a linear head of 3 labels" in error


@pytest.mark.parametrize(
    "options",
    [
        ("--valid-fraction", 0.3),
        ("--folds", 2),
        ("--folds", 2, "--solver", "lbfgs", "--l2", 0.1),
        ("--folds", 2, "--solver", "lbfgs", "--l2", 0.1, "--words", "--words-args", "min_count=1"),
    ],
    ids=["alone", "folds", "lbfgs", "words"],
)
def test_the_kept_head_is_judged_on_test_rows(enc, build, reviews, tmp_path, options):
    store, head, rows = build(), tmp_path / "head", tmp_path / "test.tsv"
    rows.write_text("text\tlabel\ngood good good 3\ttrue\nbad 0\tfalse\ngood bad bad 1\ttrue\n")
    train = ("train-head", reviews, *store, "--output", head, "--test", rows, *options)
    assert "of test.tsv" in enc(*train, code=2).stderr.replace(f"{tmp_path}/", "")
    assert not head.exists()
    assert "  test, 3 rows" in enc(*train, "--build").stdout
    metrics = json.loads((head / "head.json").read_text())["metrics"]
    found = json.loads(enc("evaluate", head, rows, *store, "--json").stdout)["figures"]
    tested = metrics.pop("test")
    assert tested.pop("confusion_matrix") == found["confusion_matrix"]
    assert tested.pop("rows") == 3
    assert tested == pytest.approx(found["metrics"])
    assert metrics["valid_rows"] != 3
