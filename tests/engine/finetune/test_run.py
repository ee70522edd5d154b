"""Fine-tuning a tiny BERT: what is written, going on after a kill, and what is added to the Trainer."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from enc.engine import Head
from enc.engine.classifier import load_classifier
from enc.engine.finetune.options import parse_options
from enc.engine.finetune.run import fine_tune
from enc.engine.finetune.set_up import trainer_of
from enc.store import DivergedError, SourceError
from finetune_texts import WORDS
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification


def test_what_is_written(tune, tiny_bert):
    folder, result, said = tune("--save_bin --save_steps 10 --save_total_limit 1")
    assert result.metrics["eval_accuracy"] > 0.9
    files = {path.name for path in folder.iterdir()}
    assert files >= {
        "README.md", "all_results.json", "config.json", "enc.json", "eval_results.json",
        "eval_results.txt", "model.safetensors", "pytorch_model.bin", "tokenizer.json",
        "tokenizer_config.json",
        "train_results.json",
        "trainer_state.json", "training_args.bin", "enc-run.json",
    }  # fmt: skip
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode
    assert len(list(folder.glob("checkpoint-*"))) == 1
    card = (folder / "README.md").read_text()
    assert tiny_bert.name in card
    assert str(tiny_bert.parent) not in card
    assert str(folder.parent) not in card
    results = json.loads((folder / "all_results.json").read_text())
    assert results["eval_accuracy"] == result.metrics["eval_accuracy"]
    assert results["train_samples"] == 120
    assert f"acc = {results['eval_accuracy']}" in (folder / "eval_results.txt").read_text().splitlines()
    told = [line.split(":")[0] for line in said]
    assert [name for name in told if name not in ("training", "evaluating")] == ["train", "validation"]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.id2label == {0: "0", 1: "1"}
    assert AutoModel.from_pretrained(folder).config.hidden_size == 16
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    assert torch.equal(state["classifier.weight"], model.classifier.weight)


@pytest.mark.parametrize(
    "more",
    [
        "--train_sampling_strategy random",
        "",
        "--bf16",
        "--lora --lora_r 2",
        "--early_stopping_patience 5 --eval_strategy steps --eval_steps 7",
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tune, tmp_path, more):
    if "--lora" in more:
        pytest.importorskip("peft", reason="peft is an extra and not installed")
    common = f"--save_steps 7 {more}"
    whole, expected, _ = tune(common, "whole")
    # What a run that was killed in its second epoch leaves: a whole checkpoint, and one half written.
    cut = tmp_path / "cut"
    cut.mkdir()
    (whole / "checkpoint-21").rename(cut / "checkpoint-21")
    record = json.loads((whole / "enc-run.json").read_text())
    (cut / "enc-run.json").write_text(json.dumps({**record, "finished": False}))
    (cut / "checkpoint-28").mkdir()
    (cut / "checkpoint-28" / "model.safetensors").write_bytes(b"half")
    _, found, said = tune(common, "cut")
    assert f"going on from '{cut / 'checkpoint-21'}'" in said[0]
    for name in ("eval_loss", "eval_accuracy"):
        assert found.metrics[name] == expected.metrics[name]
    weights = [
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict() for folder in (whole, cut)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))


@pytest.mark.slow  # most of a minute; a run in this process that is killed is tested above
def test_a_process_that_is_killed_goes_on(tiny_bert, reviews, tmp_path):
    output = tmp_path / "killed"
    command = [
        sys.executable, "-c", "from enc.cli.main import main; main()", "fine-tune", "--model",
        str(tiny_bert), "--train-file", str(reviews[0]), "--validation-file", str(reviews[1]), "--do-train",
        "--do-eval", "--output-dir", str(output), "--num-train-epochs", "40",
        "--save-steps", "20", "--save-total-limit", "2",
        "--max-seq-length", "24", "--use-cpu",
    ]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if list(output.glob("checkpoint-*/trainer_state.json")):
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait(60)
    assert list(output.glob("checkpoint-*"))
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("loading torch and transformers\n")
    assert "going on from" in done.stderr
    assert json.loads(done.stdout)["eval_accuracy"] > 0


def test_a_folder_that_is_not_empty(tune, tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "letter.txt").touch()
    with pytest.raises(
        SourceError,
        match=r"is not empty \(it has: letter.txt\); pass --overwrite_output_dir, or another folder",
    ):
        tune()
    tune("--overwrite_output_dir --num_train_epochs 1")
    with pytest.raises(SourceError, match="is not a whole checkpoint"):
        tune(f"--resume_from_checkpoint {tmp_path}")
    with pytest.raises(SourceError, match="nothing to do: pass --do_train, --do_eval or --do_predict"):
        tune(task="")


def test_checkpoints_are_cleared_only_by_a_run_that_can_begin(tune, tmp_path):
    kept, half = tmp_path / "tuned" / "checkpoint-3", tmp_path / "half" / "checkpoint-3"
    for folder in (kept, half, tmp_path / "tuned" / "checkpoint-best"):
        folder.mkdir(parents=True)
    (kept / "trainer_state.json").write_text('{"global_step": 3}')
    with pytest.raises(SourceError, match="no file"):
        tune("--overwrite_output_dir --train_file absent.tsv")
    assert kept.is_dir()
    tune("--overwrite_output_dir --max_steps 1 --save_strategy no")
    assert not kept.exists()
    tune("--max_steps 1 --save_strategy no", "half")  # of a run that was killed while it wrote its first
    assert not half.exists()


def test_a_regression(tune, write, tmp_path):
    rows = [f"{'good ' * (i % 6)}a\tb\t{i % 6 + 0.5}" for i in range(60)]
    path = write("scores.tsv", "sentence1\tsentence2\tlabel\n" + "\n".join(rows) + "\n")
    folder, result, _ = tune(
        f"--train_file {path} --validation_file {path} --num_train_epochs 12", files=False
    )
    assert result.metrics["eval_pearson"] > 0.8
    assert {"eval_mse", "eval_spearmanr"} <= set(result.metrics)
    assert not load_classifier(folder).task.has_classes
    assert Head.predict(load_classifier(folder), np.zeros((1, 16), np.float32))


@pytest.mark.skipif(os.name != "posix", reason="gloo over two processes is tried on POSIX systems")
def test_two_processes_share_the_rows(tiny_bert, reviews, tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python",
        sys.executable, "-c", "from enc.cli.main import main; main()", "fine-tune", "--model",
        str(tiny_bert), "--train-file", str(reviews[0]), "--validation-file", str(reviews[1]), "--do-train",
        "--do-eval", "--output-dir", str(tmp_path / "two"), "--num-train-epochs", "2",
        "--learning-rate", "1e-2",
        "--max-seq-length", "24",
        "--use-cpu", "--ddp-backend", "gloo",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "two" / "all_results.json").read_text())
    assert results["eval_samples"] == 31
    assert results["eval_accuracy"] > 0.8
    assert (
        json.loads((tmp_path / "two" / "trainer_state.json").read_text())["global_step"] == 16
    )  # of 8 rows in each process


def test_a_run_goes_on_only_with_its_own_data_and_options(tune, write, tmp_path):
    folder, first, _ = tune("--save_steps 10")
    before = (folder / "model.safetensors").read_bytes()
    rows = "".join(f"{WORDS[label][i % 3]} {i}\t{label}\n" for i in range(20) for label in "01")
    other = write("other.tsv", f"sentence\tlabel\n{rows}")
    for more, message in (
        (
            f"--train_file {other}",
            rf"other train rows \(.*train.tsv, now {other}\); pass --overwrite_output_dir",
        ),
        ("--learning_rate 1e-3", "a run with --learning_rate 0.01, now 0.001"),
        ("--max_train_samples 50", "--max_train_samples None, now 50"),
        ("--seed 7 --resume_from_checkpoint True", "--seed 42, now 7"),
        ("--lora", "--lora False, now True"),
    ):
        with pytest.raises(SourceError, match=message):
            tune(f"--save_steps 10 {more}")
    assert (folder / "model.safetensors").read_bytes() == before
    # What does not change the trained model may change.
    _, again, said = tune(
        "--save_steps 99 --logging_steps 3 --per_device_eval_batch_size 4", task="--do_train --do_eval"
    )
    assert said[0].startswith(f"the run in '{folder}' is finished, and is not trained again")
    assert (folder / "model.safetensors").read_bytes() == before
    assert again.metrics["eval_accuracy"] == first.metrics["eval_accuracy"]
    assert again.metrics["train_loss"] == first.metrics["train_loss"]
    _, _, said = tune(f"--train_file {other} --overwrite_output_dir")
    assert (folder / "model.safetensors").read_bytes() != before


def test_a_damaged_checkpoint_is_passed_over(tune, tmp_path):
    folder, expected, _ = tune("--save_steps 10")
    record = folder / "enc-run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "finished": False}))
    (folder / "checkpoint-30" / "optimizer.pt").write_bytes(b"")
    weights = folder / "checkpoint-20" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    _, found, said = tune("--save_steps 10")
    assert [line.split(" is ")[0] for line in said[:2]] == [
        f"warning: '{folder / 'checkpoint-30'}'",
        f"warning: '{folder / 'checkpoint-20'}'",
    ]
    assert said[2].startswith(f"going on from '{folder / 'checkpoint-10'}'")
    assert found.metrics["eval_loss"] == expected.metrics["eval_loss"]


@pytest.mark.parametrize("more", ["", "--save_steps 1", "--max_grad_norm 0 --save_steps 2"])
def test_a_run_that_diverges_leaves_no_model(tune, tmp_path, more):
    older, _, _ = tune("--max_steps 1")
    with pytest.raises(
        DivergedError, match=r"^training diverged at step \d+ .*; no model is saved; pass --lea"
    ):
        tune(f"--learning_rate 1000 --weight_decay 1000 --num_train_epochs 50 --overwrite_output_dir {more}")
    assert not list(older.glob("*.safetensors"))
    assert not (older / "enc.json").exists()
    for path in older.glob("checkpoint-*/model.safetensors"):
        assert all(bool(torch.isfinite(tensor).all()) for tensor in load_file(path).values())


def test_the_callers_options_and_environment_are_left_as_they_are(tiny_bert, reviews, tmp_path, monkeypatch):
    options = parse_options(
        f"--model {tiny_bert} --train_file {reviews[0]} --validation_file {reviews[1]} --do_train --do_eval "
        f"--output_dir {tmp_path / 'o'} --max_steps 1 --use_cpu --metric_for_best_model acc "
        f"--logging_dir {tmp_path / 'logs'}".split()
    )
    seen = []
    monkeypatch.setattr(
        "enc.engine.finetune.run.trainer_of",
        lambda *given: seen.append(os.environ["TENSORBOARD_LOGGING_DIR"]) or trainer_of(*given),
    )
    before = options.training.to_dict()
    fine_tune(options)
    assert options.training.to_dict() == before
    assert seen == [str(tmp_path / "logs")]
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
