"""The options on which a run's result depends."""

import dataclasses

from enc.engine.finetune.options import parse_options
from enc.engine.finetune.run_record import _WITHOUT_EFFECT, _options
from transformers import TrainingArguments


def recorded(more=""):
    return _options(parse_options(f"--model minilm --output_dir out {more}".split()), 128)


def test_options_that_change_the_result():
    first = recorded()
    for more in (
        "--learning_rate 1e-4", "--num_train_epochs 4", "--per_device_train_batch_size 4",
        "--train_sampling_strategy random", "--warmup_steps 3", "--weight_decay 0.1", "--seed 1", "--lora",
        "--freeze_layers 1", "--layerwise_lr_decay 0.9", "--max_train_samples 3",
        "--gradient_accumulation_steps 2", "--early_stopping_patience 2", "--label_smoothing_factor 0.1",
        "--optim adafactor",
    ):  # fmt: skip
        assert recorded(more) != first, more
    assert recorded("--bf16 True --use_cpu") != recorded("--bf16 False --use_cpu")


def test_options_that_do_not():
    first = recorded()
    for more in (
        "--do_eval", "--save_steps 3", "--eval_strategy epoch", "--logging_steps 1", "--disable_tqdm True",
        "--per_device_eval_batch_size 2", "--save_total_limit 1", "--save_bin",
        "--resume_from_checkpoint True",
    ):  # fmt: skip
        assert recorded(more) == first, more
    best = "--load_best_model_at_end --eval_strategy steps --save_strategy steps --save_steps 20 --eval_steps"
    assert recorded(f"{best} 10") != recorded(f"{best} 20")  # they choose the best one


def test_every_name_is_of_an_option():
    names = [field.name for field in dataclasses.fields(TrainingArguments)]
    for beginning in _WITHOUT_EFFECT:
        assert any(name.startswith(beginning) for name in names), beginning
