"""run_glue.py's command lines, of several releases."""

import json
import os

import pytest
from enc.engine.finetune.options import parse_options
from enc.store import SourceError

NEEDED = "--model_name_or_path minilm --output_dir out"


def parsed(line):
    return parse_options(line.split())


def test_the_command_line_of_today():
    line = (
        "--model_name_or_path bert-base-cased --task_name mrpc --do_train --do_eval --max_seq_length 128 "
        "--per_device_train_batch_size 32 --learning_rate 2e-5 --num_train_epochs 3 "
        "--output_dir /tmp/mrpc/ --overwrite_output_dir"
    )
    for words in (line, line.replace("_", "-").replace("/tmp/mrpc/", "/tmp/mrpc/")):
        options = parsed(words)
        assert (options.data.task_name, options.data.max_seq_length, options.data.overwrite_output_dir) == (
            "mrpc",
            128,
            True,
        )
        training = options.training
        assert (training.do_train, training.do_eval, training.per_device_train_batch_size) == (True, True, 32)
        assert (training.learning_rate, training.num_train_epochs) == (2e-5, 3)


def test_the_command_line_of_the_first_release():
    options = parsed(
        "--model_type bert --model_name_or_path bert-base-chinese --task_name SST-2 "
        "--do_train --do_eval --do_lower_case "
        "--data_dir data --max_seq_length 128 --per_gpu_train_batch_size 32 --per_gpu_eval_batch_size 8 "
        "--learning_rate 2e-5 --num_train_epochs 3.0 --output_dir out --overwrite_cache "
        "--evaluate_during_training --no_cuda"
    )
    assert options.training.per_device_train_batch_size == 32
    assert options.training.eval_strategy == "steps"
    assert options.training.use_cpu


def test_old_names():
    options = parsed(
        f"{NEEDED} --evaluation-strategy=epoch --warmup_ratio 0.1 --adafactor --group_by_length False "
        "--logging_dir logs"
    )
    training = options.training
    assert (training.eval_strategy, training.warmup_steps, training.optim) == ("epoch", 0.1, "adafactor")
    assert training.train_sampling_strategy == "random"
    assert options.logging_dir == "logs"
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ


def test_flags_are_written_in_three_ways():
    for words, expected in (
        ("--bf16", True),
        ("--bf16 False", False),
        ("--no_bf16", False),
        ("--no-bf16", False),
        ("--bf16=1", True),
    ):
        assert parsed(f"{NEEDED} {words} --use_cpu").training.bf16 is expected
    assert parsed(f"{NEEDED} --pad_to_max_length").data.pad_to_max_length
    assert not parsed(f"{NEEDED} --no_pad_to_max_length").data.pad_to_max_length


def test_defaults_that_differ_from_transformers():
    training = parsed(NEEDED).training
    assert training.train_sampling_strategy == "group_by_length"
    early = parsed(f"{NEEDED} --early_stopping_patience 2").training
    assert (early.load_best_model_at_end, early.eval_strategy, early.save_strategy) == (
        True,
        "epoch",
        "epoch",
    )


def test_bf16_is_the_default_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for has_bf16 in (True, False):
        monkeypatch.setattr("enc.engine.finetune.options.cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        training = parsed(NEEDED).training
        assert (training.bf16, training.use_cpu) == (has_bf16, True)
    assert parsed(f"{NEEDED} --bf16").training.bf16  # asked for without --use_cpu, as scripts for GPUs do


def test_a_file_of_options(write):
    path = write(
        "options.json",
        json.dumps({"model_name_or_path": "minilm", "output_dir": "out", "do_train": True, "seed": 7}),
    )
    options = parse_options([str(path)])
    assert (options.training.seed, options.training.do_train, options.model.model_name_or_path) == (
        7,
        True,
        "minilm",
    )
    with pytest.raises(SourceError, match=r"cannot be read as a JSON object of options"):
        parse_options([str(write("broken.json", "[1]"))])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{NEEDED} --bogus 3 --another", "there is no option --bogus, --another"),
        (f"{NEEDED} stray", "there is no option stray"),
        (f"{NEEDED} --learning_rate fast", "--learning_rate.*invalid float value: 'fast'"),
        (f"{NEEDED} --eval_strategy sometimes", r"invalid choice: 'sometimes' \(choose from"),
        (f"{NEEDED} --trust_remote_code", "enc runs no code from a model's folder"),
        ("--output_dir out", "which model. pass --model_name_or_path"),
        ("--model_name_or_path minilm", "where to. pass --output_dir"),
        (f"{NEEDED} --load_best_model_at_end", "requires the save and eval strategy to match"),
    ],
)
def test_lines_that_cannot_be(line, message):
    with pytest.raises(SourceError, match=message):
        parsed(line)


def test_tokens_are_not_kept():
    assert parsed(f"{NEEDED} --token abc --hub-token=abc --use_auth_token abc").arguments[-4:] == (
        "***", "--hub-token=***", "--use_auth_token", "***",
    )  # fmt: skip
