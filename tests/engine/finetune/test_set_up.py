"""The trainer of a run, as its options say."""

import json

import pytest
from enc.store.progress import heard_by
from fakes import Heard


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
def test_progress_is_told_where_there_is_no_bar(tune, has_bar):
    heard = Heard()
    with heard_by(heard):
        tune(f"--max_steps 3 --disable_tqdm {not has_bar}")
    assert bool(heard.of("training")) != has_bar
    if not has_bar:
        assert heard.of("training") == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
        assert heard.of("evaluating") == [(batch, 4) for batch in (1, 2, 3, 4)]
        assert any(remark.startswith("loss 0.") for *_, remark in heard.told)
