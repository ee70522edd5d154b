from types import SimpleNamespace

import pytest
from enc.cli.train_head_text import _size_text
from enc.engine.heads.tasks import MULTI_LABEL, SINGLE_LABEL


def head(train, valid, *, task=SINGLE_LABEL, epoch=2, rows=400, **record):
    history = [{"train_accuracy": 0.5}, {"train_accuracy": train}] if train is not None else []
    metrics = {"parameters": 900, "train_rows": 1000, "valid_rows": rows, "accuracy": valid, "epoch": epoch}
    return SimpleNamespace(metrics=metrics, history=history, task=task, record=record, kind="linear")


@pytest.mark.parametrize(
    ("train", "valid", "rows", "said"),
    [
        (0.99, 0.90, 400, "a smaller head"),
        (0.92, 0.90, 400, "a larger head"),  # the error is 1.5 points
        (0.92, 0.90, 40_000, "a smaller head"),
        (0.85, 0.90, 400, "a larger head"),
    ],
)
def test_advice_needs_a_difference_beyond_its_error(train, valid, rows, said):
    text = _size_text(head(train, valid, rows=rows))
    assert text.startswith("900 parameters for 1,000 training rows: 0.9 a row\n")
    assert f"accuracy {train:.3f} on training rows and {valid:.3f} on the others" in text
    assert said in text


@pytest.mark.parametrize(
    "of", [head(None, 0.9), head(0.9, None), head(0.9, 0.5, task=MULTI_LABEL), head(0.9, 0.5, epoch=0)]
)
def test_without_figures_there_is_no_advice(of):
    assert _size_text(of) == "900 parameters for 1,000 training rows: 0.9 a row"


@pytest.mark.parametrize(
    ("l2", "said"), [(0.01, "a weaker one"), (1.0, "a stronger one"), (0.1, ""), (0.3, "")]
)
def test_the_ends_of_a_path_are_told(l2, said):
    lines = _size_text(head(0.9, 0.5, l2=l2, config={"l2": [1.0, 0.1, 0.01]})).splitlines()[1:]
    assert (said in lines[0]) if said else not lines


def test_a_single_strength_says_nothing():
    assert "\n" not in _size_text(head(0.9, 0.5, l2=0.1, config={"l2": [0.1]}))


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_a_loss_that_still_falls_is_told(task):
    of = head(0.9, 0.9, task=task)
    of.history = [{"valid_loss": 0.6}, {"valid_loss": 0.59}]
    assert "still fell in the last epoch, from 0.6000 to 0.5900: more --epochs" in _size_text(of)
    assert "--solver lbfgs" in _size_text(of)
    of.record["figures_of"] = "the setting on 3 held-out folds"
    assert "still fell" not in _size_text(of)
    del of.record["figures_of"]
    of.kind = "mlp"
    assert "--solver lbfgs" not in _size_text(of)
    for others in ([0.6, 0.598], [0.6, 0.7], [0.6, 0.5, 0.4], [float("inf"), float("nan")]):
        of.history = [{"valid_loss": loss} for loss in others]
        assert "still fell" not in _size_text(of)
