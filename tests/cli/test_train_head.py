"""Heads, tasks and parts of features through the commands, with a tiny random BERT."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from click import BadParameter
from enc.cli.common import key_values
from enc.store import FeatureTable
from fakes import fake_spec

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def reviews(tmp_path):
    """Sentences of good and bad words, with labels for every task."""
    path = tmp_path / "reviews.parquet"
    duckdb.sql(
        "COPY (SELECT repeat('good ', i % 4) || repeat('bad ', (i + 1) % 3) || i AS text, i % 4 > 1 AS label, "
        "list_filter([if(i % 4 > 0, 'good', NULL), if(i % 3 < 2, 'bad', NULL)], lambda x: x IS NOT NULL) AS tags, "
        "(i % 4 > 0)::INT AS good, (i % 3 < 2)::INT AS bad, (i % 4) * 1.25 AS stars FROM range(60) t(i)) "
        f"TO '{path}'"
    )
    return path


@pytest.fixture
def build(enc, reviews, tiny_bert, tmp_path):
    def build(*options):
        enc(
            "build-features",
            reviews,
            "--store",
            tmp_path / "store",
            "--model",
            tiny_bert,
            "--max-length",
            16,
            *options,
        )
        return "--store", tmp_path / "store"

    return build


def outcome(enc, reviews, store, head, tmp_path, *options):
    enc("score", reviews, tmp_path / "out.parquet", "--head", head, *store, *options)
    return pq.read_table(tmp_path / "out.parquet")


@pytest.mark.parametrize(
    "columns", [("--label-column", "tags"), ("--label-column", "good", "--label-column", "bad")]
)
def test_several_labels(enc, build, reviews, tmp_path, columns):
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
    out = outcome(enc, reviews, store, head, tmp_path, "--proba")
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


def test_regression(enc, build, reviews, tmp_path):
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
    out = outcome(enc, reviews, store, head, tmp_path)
    assert out.column_names[-1] == "prediction"
    assert np.corrcoef(out["prediction"], np.array(out["stars"], float))[0, 1] == pytest.approx(
        metrics["pearson"], abs=1e-4
    )
    text = out["text"][7].as_py()
    answer = json.loads(enc("predict", "--head", head, text, "--json").stdout)
    assert answer == {"prediction": pytest.approx(out["prediction"][7].as_py(), abs=0.05)}
    assert enc("predict", "--head", head, text).stdout.split("\t")[1:] == [f"{text}\n"]


def test_a_head_over_tokens(enc, build, reviews, tmp_path):
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
    outcome(enc, reviews, store, head, tmp_path)
    large = enc("train-head", reviews, *options, "--head", "cnn", "--epochs", 1).stdout
    assert "the rule of thumb is between 0.5 and 10: a smaller head" in large
    small = enc("train-head", reviews, *options[:4], "--valid-where", "true", *options[4:], "--head", "cnn", "--head-args",
                '{"channels": 1, "kernel_sizes": [1]}', "--epochs", 1).stdout  # fmt: skip
    assert (
        "21 parameters for 60 training rows: 0.35 a row (the rule of thumb is between 0.5 and 10: a larger head"
        in small
    )


def test_a_head_needs_its_features(enc, build, reviews, tmp_path):
    store = build()
    options = ("--valid", reviews, *store, "--output", tmp_path / "head")
    assert "--pooling tokens" in enc("train-head", reviews, *options, "--head", "lstm", code=2).stderr
    error = enc(
        "train-head", reviews, *options, "--head", "mlp", "--head-args", "depth=3", code=2
    ).stderr.splitlines()[-1]
    assert error == "error: head 'mlp' has no argument 'depth' (it takes: hidden, dropout); mend --head-args"


def test_parts_are_trained_on_and_scored_with(enc, build, reviews, tmp_path):
    store, head = build("--layers", "1-2", "--pooling", "cls,mean"), tmp_path / "head"
    options = ("train-head", reviews, "--valid", reviews, *store, "--output", head, "--json")
    whole = json.loads(enc(*options).stdout)["parameters"]
    part = json.loads(enc(*options, "--use", "layers=2,pooling=mean").stdout)["parameters"]
    assert (whole, part) == (2 * 4 * 16 + 2, 2 * 16 + 2)
    saved = json.loads((head / "head.json").read_text())
    assert (saved["features"]["spec"]["layers"], saved["features"]["spec"]["pooling"]) == ([2], ["mean"])
    assert saved["record"]["command"].startswith("enc ")
    known = outcome(enc, reviews, store, head, tmp_path)["score"].to_numpy()
    alone = outcome(enc, reviews, ("--store", tmp_path / "fresh"), head, tmp_path)["score"].to_numpy()
    np.testing.assert_allclose(alone, known, atol=1e-4)
    assert "there is no layer 3; there are 1, 2" in enc(*options, "--use", "layers=3", code=2).stderr


def test_the_example_of_a_head_of_ones_own(enc, build, reviews, tmp_path, monkeypatch):
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
    assert "run enc where gated_head lies" in enc(*options, code=2).stderr
    shutil.copy(EXAMPLES / "gated_head.py", tmp_path)
    summary = json.loads(enc(*options, "--head-args", "hidden=4", "--learning-rate", 0.05, "--json").stdout)
    assert summary["accuracy"] > 0.8
    assert outcome(enc, reviews, store, head, tmp_path).num_rows == 60


def test_class_weights(enc, build, reviews, tmp_path):
    options = (
        "train-head",
        reviews,
        "--valid",
        reviews,
        *build(),
        "--output",
        tmp_path / "head",
        "--epochs",
        1,
    )
    for weights, saved in (
        ("balanced", "balanced"),
        ("True=3,False=0.5", {"True": 3, "False": 0.5}),
        ('{"True": 3}', {"True": 3}),
    ):
        enc(*options, "--class-weights", weights)
        assert (
            json.loads((tmp_path / "head" / "head.json").read_text())["record"]["config"]["class_weights"]
            == saved
        )
    assert (
        "class weight is given for label 'maybe'"
        in enc(*options, "--class-weights", "maybe=2", code=2).stderr
    )
    assert (
        "Invalid value for --class-weights: cannot read 'much'"
        in enc(*options, "--class-weights", "much", code=2).stderr
    )


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["hidden=256,dropout=0.5"], {"hidden": 256, "dropout": 0.5}),
        (["kernel_sizes=3,4,5,bias=true"], {"kernel_sizes": [3, 4, 5], "bias": True}),
        (["hidden=[8, 4]", "name=relu"], {"hidden": [8, 4], "name": "relu"}),
        (['{"a": {"b": 1}}', "c=-1e-3"], {"a": {"b": 1}, "c": -0.001}),
        ([], {}),
    ],
)
def test_names_and_values(items, expected):
    assert key_values(items, "--head-args") == expected


@pytest.mark.parametrize("item", ["hidden", "=3", "{broken"])
def test_names_without_values(item):
    with pytest.raises(BadParameter, match="cannot read"):
        key_values([item], "--head-args")


def test_lbfgs_walks_a_path(enc, build, reviews, tmp_path):
    store = build()
    options = ("train-head", reviews, "--valid", reviews, *store, "--output", tmp_path / "head")
    result = enc(*options, "--solver", "lbfgs", "--l2", "1,0.01")
    lines = result.stdout.splitlines()
    assert lines[2].startswith("l2 1 ")
    assert lines[3].startswith("l2 0.01 ")
    assert any(line.startswith("kept l2 0.01: ") for line in lines)
    assert len(outcome(enc, reviews, store, tmp_path / "head", tmp_path)) == 60
    assert "numbers, such as 1,0.1" in enc(*options, "--solver", "lbfgs", "--l2", "strong", code=2).stderr
    assert "--l2 is for --solver lbfgs" in enc(*options, "--l2", "1", code=2).stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--epochs", 3), "--epochs"),
        (("--epochs", 10), "--epochs"),  # the default, but given
        (("--batch-size", 16), "--batch-size"),
        (("--learning-rate", 0.1), "--learning-rate"),
        (("--optimizer", "sgd"), "--optimizer"),
        (("--schedule", "linear"), "--schedule"),
        (("--warmup", 0.1), "--warmup"),
        (("--weight-decay", 0.1), "--weight-decay"),
        (("--momentum", 0.5), "--momentum"),
        (("--early-stopping", 3), "--early-stopping"),
        (("--head-args", "hidden=3"), "--head-args"),
        (("--recipe", "flat32"), "--recipe"),
        (("--seeds", 3), "--seeds"),
        (("--ensemble",), "--ensemble"),
        (("--no-standardize",), "--no-standardize"),
        (("--head", "mlp"), "--head mlp"),
    ],
)
def test_lbfgs_takes_no_option_of_gradient_descent(enc, tmp_path, given, named):
    options = ("--valid", "x.tsv", "--store", tmp_path, "--output", tmp_path / "head", "--solver", "lbfgs")
    error = enc("train-head", "x.tsv", *options, *given, code=2).stderr
    assert error == (
        f"error: {named} is for gradient descent, and --solver lbfgs solves for one linear head to convergence; "
        f"leave out {named}, or --solver lbfgs\n"
    )


def test_momentum_is_sgds(enc, tmp_path):
    options = ("--valid", "x.tsv", "--store", tmp_path, "--output", tmp_path / "head", "--momentum", 0.5)
    error = enc("train-head", "x.tsv", *options, code=2).stderr
    assert error == "error: --momentum is for --optimizer sgd; add that, or leave out --momentum\n"
    for more in (("--optimizer", "sgd"), ("--recipe", "flat32"), ("--sweep", "optimizer=sgd,adamw")):
        assert "--momentum" not in enc("train-head", "x.tsv", *options, *more, code=2).stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--folds", 1), "the number of folds must be a whole number from 2 to 10,000, not 1"),
        (("--folds", 0), "the number of folds must be a whole number from 2 to 10,000, not 0"),
        (
            ("--valid-fraction", "nan"),
            "fraction of texts to hold out must be a number above 0 and below 1, not nan",
        ),
        (
            ("--valid-fraction", 0),
            "fraction of texts to hold out must be a number above 0 and below 1, not 0.0",
        ),
        (
            (),
            "give validation rows one way: --valid FILE, --valid-where SQL, --valid-fraction 0.2, or --folds 5",
        ),
        (("--folds", 3, "--valid-fraction", 0.2), "or --folds 5, not --valid-fraction and --folds"),
        (("--valid", "y.tsv", "--folds", 3), "or --folds 5, not --valid and --folds"),
        (("--valid-where", "true", "--folds", 3), "or --folds 5, not --valid-where and --folds"),
        (
            ("--folds", 3, "--early-stopping", 0),
            "early_stopping must be a whole number from 1 to 1,000,000, not 0",
        ),
        (("--folds", 3, "--epochs", 10**23), "epochs must be a whole number from 1 to 1,000,000"),
        (("--folds", 3, "--learning-rate", "inf"), "learning_rate must be a number above 0"),
        (("--folds", 3, "--seeds", 0), "the number of seeds must be a whole number from 1 to 10,000, not 0"),
        (("--folds", 3, "--seed", -1), "seed must be a whole number from 0"),
        (("--folds", 3, "--class-weights", "a=nan"), "class weight of 'a' must be a number above 0"),
        (("--folds", 3, "--solver", "lbfgs", "--l2", "nan"), "l2 must be a number from 0 up"),
        (("--folds", 3, "--solver", "lbfgs", "--l2", ""), "cannot read ''; write numbers"),
        (("--folds", 3, "--sweep", "lr=0.1,0"), "learning_rate must be a number above 0"),
        (("--folds", 3, "--sweep", "use=layers=7"), "there is no layer 7"),
        (("--folds", 3, "--use", "layers=7"), "there is no layer 7"),
        (("--folds", 3, "--label-column", "stars"), "column 'stars' is not in"),
        (("--folds", 3, "--text-column", "review"), "column 'review' is not in"),
        (("--folds", 3, "--pair-column", "title"), "column 'title' is not in"),
        (("--valid", "nowhere.tsv"), "no file 'nowhere.tsv'"),
        (("--folds", 3, "--features", "tokens"), "tokens"),
        (("--folds", 3, "--output", "x.tsv/head"), "'x.tsv/head' cannot be written: "),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, tuple) else "",
)
def test_what_is_cheap_is_told_before_torch_is_loaded(tmp_path, given, message):
    (tmp_path / "x.tsv").write_text("text\tlabel\nx\ta\ny\tb\n")
    FeatureTable.create(tmp_path / "store" / "mean", fake_spec())
    code = (
        "import sys\n"
        "from enc.cli.main import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, 'sklearn' in sys.modules, 'scipy' in sys.modules)"
    )
    options = ("--store", tmp_path / "store", "--output", tmp_path / "head", *given)
    command = [sys.executable, "-c", code, "train-head", "x.tsv", *options]
    words = [str(part) for part in command]
    result = subprocess.run(words, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout.split() == ["False"] * 3


def test_a_linear_head_needs_no_compiler_and_no_scikit_learn(build, reviews, tmp_path):
    code = (
        "import sys\n"
        "from enc.cli.main import main\n"
        "try: main()\n"
        "finally: print(*{'torch._dynamo', 'sklearn', 'scipy', 'transformers'} & {*sys.modules}, file=sys.stderr)"
    )
    options = (reviews, "--valid-fraction", 0.3, *build(), "--output", tmp_path / "head")
    for more, loaded in (((), ""), (("--solver", "lbfgs"), "scipy")):
        command = [sys.executable, "-c", code, "train-head", *options, *more]
        result = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        assert result.stderr.strip() == loaded


def test_rows_to_validate_on_that_come_from_the_training_file_are_left_out(enc, build, reviews, tmp_path):
    options = ("train-head", reviews, *build(), "--output", tmp_path / "head", "--json")
    result = enc(*options, "--valid-where", "stars > 3")
    summary = json.loads(result.stdout)
    assert (summary["train_rows"], summary["valid_rows"]) == (45, 15)
    assert "rows with stars > 3 are for validation, and left out of training" in result.stderr.splitlines()
    for where, rows in (("stars <> 1.25", 30), ("stars <> 1.25 AND stars < 3", 30)):
        summary = json.loads(enc(*options, "--where", where, "--valid-where", "stars > 3").stdout)
        assert (summary["train_rows"], summary["valid_rows"]) == (rows, 15)
    # A row for which the condition is unknown is no validation row, and stays.
    nothing = "CASE WHEN stars > 3 THEN true WHEN stars > 2 THEN NULL ELSE false END"
    summary = json.loads(enc(*options, "--valid-where", nothing).stdout)
    assert (summary["train_rows"], summary["valid_rows"]) == (45, 15)


def test_lbfgs_chooses_layers(enc, build, reviews, tmp_path):
    options = ("train-head", reviews, "--valid", reviews, *build("--layers", "1-2"), "--solver", "lbfgs")
    options = (*options, "--output", tmp_path / "head", "--l2", "1,0.01", "--metric", "loss")
    lines = enc(*options, "--sweep", "use=layers=1,layers=2").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split() == ["use", "l2", "loss", "runs"])
    rows = [line.split() for line in lines[at + 1 : at + 5]]
    assert sorted(row[:2] for row in rows) == [
        [f"layers={layer}", l2] for layer in (1, 2) for l2 in ("0.01", "1")
    ]
    saved = json.loads((tmp_path / "head" / "head.json").read_text())
    assert saved["features"]["spec"]["layers"] == [int(rows[0][0].removeprefix("layers="))]
    assert f"{saved['record']['l2']:g}" == rows[0][1]
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 4
    error = enc(*options, "--sweep", "lr=0.1", code=2).stderr
    assert "'learning_rate' cannot be swept with --solver lbfgs" in error
    error = enc(*options, "--sweep", "use=layers=1", "--use", "layers=1", code=2).stderr
    assert "by --use or by --sweep use=…, not by both" in error


def test_a_path_is_cross_validated(enc, build, reviews, tmp_path):
    options = (
        "train-head",
        reviews,
        *build(),
        "--output",
        tmp_path / "head",
        "--solver",
        "lbfgs",
        "--folds",
        3,
    )
    lines = enc(*options, "--l2", "1,0.01,10").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split() == ["l2", "accuracy", "runs"])
    best = lines[at + 1].split()[0]
    assert {line.split()[0] for line in lines[at + 1 : at + 4]} == {"1", "0.01", "10"}
    assert any(line.startswith(f"kept l2 {best}: of the setting on 3 held-out folds loss ") for line in lines)
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 9
    assert pq.read_table(tmp_path / "head" / "out_of_fold.parquet").num_rows == 60
    assert "give validation rows one way" in enc(*options, "--valid", reviews, code=2).stderr


def test_a_sweep_prints_its_table_and_keeps_the_best(enc, build, reviews, tmp_path):
    store = build("--layers", "1-2")
    options = ("train-head", reviews, *store, "--output", tmp_path / "head", "--epochs", 2)
    result = enc(
        *options,
        "--valid",
        reviews,
        "--sweep",
        "lr=0.001,0.1",
        "--sweep",
        "use=layers=1,layers=2",
        "--seeds",
        2,
    )
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("learning_rate  use"))
    means = [float(line.split()[2]) for line in lines[at + 1 : at + 5]]
    assert means == sorted(means, reverse=True)
    assert pq.read_table(tmp_path / "head" / "sweep.parquet").num_rows == 8
    assert len(outcome(enc, reviews, store, tmp_path / "head", tmp_path)) == 60
    folded = json.loads(enc(*options, "--folds", 3, "--seeds", 2, "--ensemble", "--json").stdout)
    assert (folded["watched"], folded["sweep"][0]["runs"], folded["sweep"][0]["diverged"]) == (
        "accuracy",
        6,
        0,
    )
    assert pq.read_table(tmp_path / "head" / "out_of_fold.parquet").num_rows == 60
    assert len(outcome(enc, reviews, store, tmp_path / "head", tmp_path)) == 60
    assert "--l2 is for --solver lbfgs" in enc(*options, "--folds", 3, "--l2", "1", code=2).stderr
    assert "pass --seeds" in enc(*options, "--valid", reviews, "--ensemble", code=2).stderr


def test_a_sweep_tells_of_what_diverged_and_whose_the_figures_are(enc, build, reviews, tmp_path):
    options = (
        "train-head",
        reviews,
        *build(),
        "--output",
        tmp_path / "head",
        "--epochs",
        2,
        "--optimizer",
        "sgd",
        "--folds",
        3,
    )
    lines = enc(*options, "--sweep", "lr=1e38,0.001", "--seeds", 2).stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("learning_rate"))
    assert lines[at + 2].split(maxsplit=2) == ["1e+38", "undefined", "6, 6 diverged"]
    assert "6 of 12 runs diverged: their loss is no number; a lower learning rate may help them" in lines
    assert any(
        line.startswith("kept epoch 2: of the setting on 3 held-out folds, means of 2 seeds loss ")
        for line in lines
    )
    lines = enc(*options, "--seeds", 2, "--ensemble").stdout.splitlines()
    assert any(
        line.startswith("kept epoch 2: of the ensemble of 2 seeds on 3 held-out folds loss ")
        for line in lines
    )
    error = enc(*options, "--sweep", "lr=1e38,1e37", code=2).stderr
    assert "no setting is left: their loss is no number; sweep learning rates below 1e+37" in error


def test_the_tutorials_recipe_and_plain_weights(enc, build, reviews, tmp_path):
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
    before = outcome(enc, reviews, store, tmp_path / "head", tmp_path)["score"].to_numpy()
    np.testing.assert_allclose(
        outcome(enc, reviews, store, tmp_path / "again", tmp_path)["score"].to_numpy(), before, atol=1e-6
    )
    assert "good" in enc("predict", "--head", tmp_path / "again", "good good").stdout
    error = enc(
        "import-head", tmp_path / "BERT_net.pth", tmp_path / "more", *store, "--labels", "a,b,c", code=2
    ).stderr
    assert "a linear head of 3 labels" in error
