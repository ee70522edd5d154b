"""The trainer of a run, as its options say."""

import json

import pytest
from enc.engine.finetune import set_up
from enc.engine.finetune.progress import ProgressLines


def test_early_stopping_keeps_the_best(tune):
    folder, _, _ = tune(
        "--early_stopping_patience 1 --num_train_epochs 9 --learning_rate 5e-3 --metric_for_best_model acc"
    )
    state = json.loads((folder / "trainer_state.json").read_text())
    assert state["best_metric"] == max(
        row["eval_accuracy"] for row in state["log_history"] if "eval_accuracy" in row
    )
    assert state["epoch"] < 9


def test_the_best_of_lora_is_kept(tune):
    pytest.importorskip("peft", reason="peft is an extra and not installed")
    best = (
        "--save_strategy steps --eval_strategy steps --save_steps 5 --eval_steps 5 --load_best_model_at_end"
    )
    folder, result, _ = tune(f"--lora --lora_r 2 {best} --metric_for_best_model eval_loss")
    rows = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert result.metrics["eval_loss"] == pytest.approx(
        min(row["eval_loss"] for row in rows if "eval_loss" in row), abs=1e-4
    )


@pytest.mark.parametrize("has_bar", [False, True])
def test_progress_is_said_where_there_is_no_bar(tune, monkeypatch, has_bar):
    monkeypatch.setattr(set_up, "ProgressLines", lambda say, loss: ProgressLines(say, loss, every_seconds=0))
    _, _, said = tune(f"--max_steps 3 --disable_tqdm {not has_bar}")
    lines = [line for line in said if line.startswith(("training: step", "evaluating: batch"))]
    assert bool(lines) != has_bar
    if not has_bar:
        assert lines[2].startswith("training: step 3 of 3, loss 0.")
        assert lines[3] == "evaluating: batch 1 of 4"
