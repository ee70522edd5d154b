"""Mistakes that are told before torch and transformers are loaded."""

import json
import os
import subprocess
import sys

import pytest
from enc.engine.finetune.early_checks import check_early
from enc.store import EncError, ModelError

SCRIPT = """
import sys
from click.testing import CliRunner
from enc.cli.main import main
result = CliRunner().invoke(main, ["fine-tune", *sys.argv[1:]])
print(result.exit_code, *sorted({"torch", "transformers", "tokenizers", "sklearn"} & set(sys.modules)))
print(result.stderr, end="")
"""


@pytest.fixture
def data(write):
    return str(write("t.tsv", "sentence\tlabel\na\t0\nb\t1\n"))


@pytest.fixture
def other_things(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    return str(tmp_path / "full")


MISTAKES = {
    "no output": ("--model {model} --do_train --train_file {data}", "where to? pass --output_dir"),
    "no model": (
        "--output_dir {out} --do_train --train_file {data}",
        "which model? pass --model_name_or_path",
    ),
    "nothing to do": ("--model {model} --output_dir {out} --train_file {data}", "nothing to do"),
    "no file": ("--model {model} --output_dir {out} --do_train --train_file no.tsv", "no file 'no.tsv'"),
    "no column": (
        "--model {model} --output_dir {out} --do_train --train_file {data} --label_column stars",
        "{data} has no column 'stars' (it has: sentence, label); pass --label_column",
    ),
    "other things": (
        "--model {model} --output_dir {full} --do_train --train_file {data}",
        "'{full}' is not empty (it has: letter.txt); pass --overwrite_output_dir, or another folder",
    ),
    "a file as output": (
        "--model {model} --output_dir {data} --do_train --train_file {data}",
        "'{data}' is a file; pass a folder as --output_dir",
    ),
    "an output in a file": (
        "--model {model} --output_dir {data}/x --do_eval --validation_file {data}",
        "'{data}/x' cannot be written (Not a directory); choose another folder",
    ),
    "not a number": (
        "--model {model} --output_dir {out} --do_train --train_file {data} --layerwise_lr_decay nan",
        "--layerwise_lr_decay is nan; it must be a number above 0 to 1",
    ),
    "given twice": (
        "--model {model} --output_dir {out} --do_train --train_file {data} --seed 1 --seed 2",
        "--seed is given twice, as '1' and '2'; leave one out",
    ),
    "the model's own folder": (
        "--model {model} --output_dir {model} --do_train --train_file {data} --overwrite_output_dir",
        "'{model}' is the model's own folder; choose another --output_dir",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found(name, tiny_bert, data, other_things, tmp_path):
    line, message = MISTAKES[name]
    places = {"model": tiny_bert, "data": data, "full": other_things, "out": tmp_path / "out"}
    with pytest.raises(EncError) as told:
        check_early(line.format(**places).split())
    assert str(told.value).startswith(message.format(**places))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["no output", "no column", "other things", "not a number"])
def test_no_mistake_waits_for_torch(name, tiny_bert, data, other_things, tmp_path):
    line, message = MISTAKES[name]
    places = {"model": tiny_bert, "data": data, "full": other_things, "out": tmp_path / "out"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *line.format(**places).split()],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.stdout.startswith(f"2 \nerror: {message.format(**places)}".replace("2 \n", "2\n")), (
        done.stdout
    )


def test_all_options_are_listed_without_torch():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--all-options"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


def test_folders_of_models(tiny_bert, data, tmp_path):
    rest = f"--output_dir {tmp_path / 'out'} --do_train --train_file {data}".split()
    check_early(["--model", str(tiny_bert), *rest])
    with pytest.raises(ModelError, match=r"has no config.json"):
        check_early(["--model", str(tmp_path), *rest])
    with pytest.raises(ModelError, match="is a file; pass the folder that it is in"):
        check_early(["--model", data, *rest])
    with pytest.raises(EncError, match="no head in 'nowhere'"):
        check_early(["--model", str(tiny_bert), "--head_init", "nowhere", *rest])
    check_early(["--model", "a/hub-id", *rest])  # the hub is not asked yet


def test_a_file_of_options_is_checked_too(write, tiny_bert):
    path = write("o.json", json.dumps({"model": str(tiny_bert), "output_dir": "out", "lora_r": 0}))
    with pytest.raises(EncError, match="--lora_r is 0"):
        check_early([str(path)])
