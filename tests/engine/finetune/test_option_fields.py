"""The numbers that options take."""

import math

import pytest
from enc.engine.finetune.option_fields import (
    NUMBERS,
    DataOptions,
    ModelOptions,
    option_names,
    require_numbers,
)
from enc.store import SourceError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layerwise_lr_decay", "nan"),
        ("layerwise_lr_decay", "inf"),
        ("layerwise_lr_decay", "0"),
        ("layerwise_lr_decay", "1.5"),
        ("lora_r", "0"),
        ("lora_r", "-3"),
        ("freeze_layers", "-1"),
        ("max_seq_length", "0"),
        ("max_seq_length", str(10**23)),
        ("max_seq_length", str(10**400)),
        ("max_train_samples", "0"),
        ("max_train_samples", "-5"),
        ("early_stopping_patience", "0"),
        ("learning_rate", "nan"),
        ("learning_rate", "-1"),
        ("num_train_epochs", "inf"),
        ("num_train_epochs", "0"),
        ("per_device_train_batch_size", "0"),
        ("gradient_accumulation_steps", "0"),
        ("seed", "-1"),
        ("weight_decay", "nan"),
    ],
)
def test_numbers_out_of_range(name, value):
    with pytest.raises(
        SourceError, match=rf"^--{name} is {value}; it must be a (whole )?number (from|above) "
    ):
        require_numbers({name: value})


def test_the_defaults_are_in_range():
    for group in (ModelOptions, DataOptions):
        require_numbers(vars(group()))


def test_what_is_no_number_is_left_to_the_parser():
    require_numbers({"learning_rate": "fast", "lora_r": "1.5", "seed": None})


@given(st.sampled_from(sorted(NUMBERS)), st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_passes_that_is_not_finite_or_not_in_its_range(name, value):
    numbers = NUMBERS[name]
    if value in numbers:
        assert math.isfinite(value)
        assert numbers.least <= value <= numbers.most


def test_every_option_has_a_help_text():
    assert all(text for options in option_names().values() for _, text in options)
