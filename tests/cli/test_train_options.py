"""What the options of train-head mean, and which are refused before anything dear is loaded."""

import json
import subprocess
import sys

import pytest
from click import BadParameter
from enc.cli.values import key_values
from enc.store import FeatureTable
from fakes import fake_spec


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
        "invalid value for --class-weights: cannot read 'much'"
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
        f"error: {named} is for gradient descent, and --solver lbfgs solves for one linear head to "
        f"convergence; leave out {named}, or --solver lbfgs\n"
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
            "give validation rows one way: --valid FILE, --valid-where SQL, --valid-fraction 0.2, or --folds",
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
        (("--folds", 3, "--text-column", "text", "--pair-column", "title"), "column 'title' is not in"),
        (("--valid", "nowhere.tsv"), "no file 'nowhere.tsv'"),
        (("--folds", 3, "--features", "tokens"), "tokens"),
        (("--folds", 3, "--output", "x.tsv/head"), "'x.tsv/head' cannot be written (Not a directory)"),
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
        "found = lambda: {'torch._dynamo', 'sklearn', 'scipy', 'transformers'} & {*sys.modules}\n"
        "try: main()\n"
        "finally: print(*found(), file=sys.stderr)"
    )
    options = (reviews, "--valid-fraction", 0.3, "--no-baseline", *build(), "--output", tmp_path / "head")
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
