"""Words of command lines, without transformers."""

import json

import pytest
from enc.engine.finetune.command_line import (
    flag_names,
    option_values,
    own_options,
    read_words,
    without_secrets,
)
from enc.store import SourceError

NEEDED = ["--model", "minilm", "--output-dir", "out"]


def values(*words):
    return option_values(read_words([*NEEDED, *words], flag_names()))


def test_names_and_flags_of_any_release():
    assert values("--task", "RTE", "--save_safetensors", "False", "--no-lora") == {
        "model_name_or_path": "minilm",
        "output_dir": "out",
        "task_name": "RTE",
        "save_bin": "True",
        "lora": "False",
    }
    assert values("--overwrite_output=no", "--adafactor")["overwrite_output_dir"] == "False"
    assert values("--adafactor", "False").get("optim") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "1", "--seed=2"], "--seed is given twice, as '1' and '2'; leave one out"),
        (["--train_file", "a", "--train-file", "b"], "--train_file is given twice, as 'a' and 'b'"),
        (["--model_name_or_path", "other"], "--model_name_or_path is given twice, as 'minilm' and 'other'"),
        (["--lora", "--no_lora"], "--lora is given twice, as 'True' and 'False'"),
        (["--lora_r", "0"], "--lora_r is 0"),
        (["--trust_remote_code"], "enc runs no code from a model's folder"),
    ],
)
def test_words_that_cannot_be(words, message):
    with pytest.raises(SourceError, match=message):
        values(*words)


def test_an_option_may_be_repeated_as_it_is():
    assert values("--seed", "1", "--seed", "1")["seed"] == "1"


def test_own_options():
    model, data = own_options(
        values("--lora", "--lora_alpha", "4", "--max_length", "64", "--freeze_layers", "x")
    )
    assert (model.lora, model.lora_alpha, model.freeze_layers, data.max_seq_length) == (True, 4, 0, 64)


def test_a_file_may_hold_objects_and_lists(write):
    options = {
        "model": "minilm",
        "output_dir": "out",
        "report_to": ["a", "b"],
        "lr_scheduler_kwargs": {"x": 1},
    }
    path = write("options.json", json.dumps({**options, "seed": None}))
    found = option_values(read_words([str(path)], flag_names()))
    assert (found["report_to"], json.loads(found["lr_scheduler_kwargs"])) == ("a b", {"x": 1})
    assert "seed" not in found


def test_tokens_become_stars():
    words = ["--token", "abc", "--hub-token=abc", "--hub_token", "abc", "--seed", "1"]
    assert without_secrets(words) == (
        "--token",
        "***",
        "--hub-token=***",
        "--hub_token",
        "***",
        "--seed",
        "1",
    )
