import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from enc.engine import TrainConfig
from enc.store import SourceError


@pytest.mark.parametrize(
    "changes",
    [
        dict(head="cnn9"),
        dict(optimizer="lion"),
        dict(schedule="stairs"),
        dict(metric="bleu"),
        dict(epochs=0),
        dict(batch_size=0),
        dict(learning_rate=-1),
        dict(label_smoothing=1),
        dict(warmup=-0.1),
        dict(early_stopping=0),
        dict(head_args={"activation": object()}),
        dict(head_args={"dropout": float("nan")}),
        dict(head=3),
        dict(standardize="false"),
        dict(class_weights="much"),
    ],
)
def test_impossible_configurations(changes):
    with pytest.raises(SourceError, match=next(iter(changes)).replace("class_weights", "class weights")):
        TrainConfig(**changes)


WHOLE = ("epochs", "batch_size", "early_stopping", "seed")
NUMBERS = ("learning_rate", "warmup", "weight_decay", "momentum", "label_smoothing")


@pytest.mark.parametrize("name", [*WHOLE, *NUMBERS])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 10**40, "3", True, [1]])
def test_numbers_out_of_range(name, value):
    with pytest.raises(SourceError, match=f"{name} must be a .*number .*, not ") as error:
        TrainConfig(**{name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "lowest", "below"),
    [("epochs", 1, 0), ("batch_size", 1, 0), ("early_stopping", 1, 0), ("seed", 0, -1)],
)
def test_whole_numbers(name, lowest, below):
    assert getattr(TrainConfig(**{name: lowest}), name) == lowest
    for value in (below, 2.0, 10**23):
        with pytest.raises(SourceError, match=f"{name} must be a whole number from {lowest} to"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("learning_rate", "above 0 that float32 can hold"),
        ("weight_decay", None),
        ("warmup", None),
        ("momentum", None),
        ("label_smoothing", None),
    ],
)
def test_numbers_that_may_be_0(name, words):
    if words is None:
        assert getattr(TrainConfig(**{name: 0}), name) == 0
    else:
        with pytest.raises(SourceError, match=f"{name} must be a number {words}, not 0"):
            TrainConfig(**{name: 0})


@pytest.mark.parametrize("name", ["warmup", "momentum", "label_smoothing"])
def test_shares_are_below_1(name):
    assert getattr(TrainConfig(**{name: 0.999}), name) == 0.999
    with pytest.raises(SourceError, match=f"{name} must be a number from 0 up and below 1, not 1"):
        TrainConfig(**{name: 1})


def test_a_number_of_more_digits_than_python_writes():
    with pytest.raises(SourceError, match="epochs must be a whole number from 1 to 1,000,000, not that many"):
        TrainConfig(epochs=10**5000)


@pytest.mark.parametrize("weight", [0, "much", float("inf"), float("nan"), -1, True])
def test_a_class_weight_is_a_number(weight):
    with pytest.raises(SourceError, match="class weight of 'a' must be a number above 0"):
        TrainConfig(class_weights={"a": weight})


def test_numbers_of_numpy_become_pythons():
    config = TrainConfig(epochs=np.int64(3), learning_rate=np.float32(0.5), class_weights={"a": np.int64(2)})
    assert [type(config.epochs), type(config.learning_rate)] == [int, float]
    json.dumps(dataclasses.asdict(config))


def test_options_are_checked_before_torch_is_loaded():
    code = "import sys, enc.engine.train.config; print(*{'torch', 'scipy', 'sklearn'} & {*sys.modules})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == ""
