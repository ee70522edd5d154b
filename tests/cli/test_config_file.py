"""Options from a TOML file, tried on a small command and on real ones."""

import json
import shlex

import click
import pytest
from click.testing import CliRunner
from enc.cli.command import EncCommand
from enc.cli.config_file import typed_command


@pytest.fixture
def run(tmp_path):
    """Runs a command with a config; returns its values, or what it says is wrong."""
    seen = {}

    @click.command("go", cls=EncCommand, help="Go.")
    @click.argument("sources", nargs=-1)
    @click.option("--store", required=True)
    @click.option("--epochs", type=int, default=10)
    @click.option("--learning-rate", type=float)
    @click.option("--valid", multiple=True)
    @click.option("--label-column", "label_columns", multiple=True, default=["label"])
    @click.option("--build", is_flag=True)
    @click.option("--normalize", is_flag=True, default=None)
    @click.option("--no-header", "has_header", flag_value=False, default=True)
    @click.option("--report/--no-report", "has_report", default=True)
    @click.option("--kind", type=click.Choice(["a", "b"]))
    @click.option("--pair", "pairs", nargs=2, multiple=True)
    def go(**values):
        seen.update(values)
        seen["words"] = shlex.split(typed_command())

    def run(text, *arguments):
        seen.clear()
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(go, ["--config", str(path), *arguments])
        if result.exit_code:
            assert result.exit_code == 2, result.output
            return result.stderr.splitlines()[-1]
        return dict(seen)

    return run


def test_values_of_all_kinds(run):
    text = """
    store = "features"
    epochs = 3
    learning_rate = 1e-3
    valid = ["a.tsv", "b.tsv"]
    label-column = "stars"
    build = true
    no-header = true
    report = false
    normalize = false
    kind = "b"
    pair = [["one", "two"]]
    """
    values = run(text, "x.tsv")
    expected = {
        "store": "features", "epochs": 3, "learning_rate": 1e-3, "valid": ("a.tsv", "b.tsv"),
        "label_columns": ("stars",), "build": True, "has_header": False, "has_report": False,
        "normalize": None, "kind": "b", "pairs": (("one", "two"),), "sources": ("x.tsv",),
    }  # fmt: skip
    assert {name: values[name] for name in expected} == expected
    assert values["words"][-20:] == shlex.split(
        "--store features --epochs 3 --learning-rate 0.001 --valid a.tsv --valid b.tsv --label-column stars "
        "--build --no-header --no-report --kind b --pair one two"
    )


def test_the_command_line_goes_first(run):
    text = 'store = "features"\nepochs = 3\nvalid = ["a.tsv"]\nno-report = true\n'
    values = run(text, "--epochs", "5", "--valid", "z.tsv", "--report")
    assert (values["epochs"], values["valid"], values["has_report"]) == (5, ("z.tsv",), True)
    assert values["words"][-2:] == ["--store", "features"]


def test_a_table_is_of_its_command(run):
    values = run('store = "features"\nepochs = 3\n[go]\nepochs = 4\n')
    assert values["epochs"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "has 'epoch', which is no option of go; see `go --help`. Did you mean 'epochs'?"),
        ("sources = ['a']", "has 'sources', which is no option of go"),
        ("debug = true", "has 'debug', which is no option of go"),
        ("build = 'yes'", "'build' in '{path}' is on or off: write true or false, not 'yes'"),
        ("epochs = true", "'epochs' in '{path}' cannot be True: write a text or a number"),
        ("epochs = [1, 2]", "'epochs' in '{path}' is a list, and the option takes one value"),
        ("epochs = 'many'", "'many' is not a valid integer"),
        ("kind = 'c'", "'c' is not one of 'a', 'b'"),
        ("[goo]\nepochs = 1", "has a table [goo], which is no command; see `go --help`. Did you mean 'go'?"),
        ("epochs = ", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_told(run, tmp_path, text, message):
    assert message.format(path=tmp_path / "run.toml") in run(text, "--store", "s")


def test_a_file_that_is_not_there(run, enc, tmp_path):
    (tmp_path / "run.toml").touch()
    error = enc("store", "ls", tmp_path, "--config", tmp_path / "rum.toml", code=2).stderr
    assert f"no file '{tmp_path / 'rum.toml'}'; see `enc store ls --help`." in error
    assert f"Did you mean '{tmp_path / 'run.toml'}'?" in error


def test_training_and_fine_tuning_take_theirs(enc, build, reviews, tmp_path):
    build()
    path = tmp_path / "run.toml"
    path.write_text(
        f'[train-head]\nstore = "{tmp_path / "store"}"\noutput = "{tmp_path / "head"}"\nepochs = 2\n'
        f'valid-fraction = 0.25\n[fine-tune]\nmodel = "minilm"\noutput_dir = "{tmp_path / "tuned"}"\n'
        'do_trian = true\ndo-eval = true\nvalidation_file = "none.tsv"\n'
    )
    enc("train-head", reviews, "--config", path, "--epochs", 1)
    record = json.loads((tmp_path / "head" / "head.json").read_text())["record"]
    assert record["config"]["epochs"] == 1
    assert f"--output {tmp_path / 'head'}" in record["command"]
    assert "none.tsv" in enc("fine-tune", "--config", path, code=2).stderr
    path.write_text("[store-verify]\nrepai = true\n")
    said = enc("store", "verify", tmp_path / "store", "--config", path, code=2).stderr
    assert "'repai', which is no option of enc store verify; see `enc store verify --help`." in said
    assert said.endswith("Did you mean 'repair'?\n")
    enc("store", "ls", tmp_path / "store", "--config", path)
