"""A fine-tune that begins at stored states is that of the whole model with the layers below frozen."""

import json

import numpy as np
import pytest
import torch
from enc.engine import load_classifier
from enc.store import ModelError, SourceError, Store
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

NO_DROPOUT = {
    "bert": dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
    "distilbert": dict(dim=16, n_layers=3, n_heads=2, hidden_dim=32, dropout=0.0, attention_dropout=0.0,
                       seq_classif_dropout=0.0),
    "modernbert": dict(cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=4),
}  # fmt: skip


def curve(folder):
    """Losses of each step, and of the validation rows."""
    rows = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [row.get("loss", row.get("eval_loss")) for row in rows if {"loss", "eval_loss"} & set(row)]


@pytest.mark.parametrize("model_type", NO_DROPOUT)
def test_it_is_freezing_without_the_frozen_part_in_every_epoch(model_type, tune, tiny_model, tmp_path):
    model = tiny_model(model_type, **dict(num_hidden_layers=3) | NO_DROPOUT[model_type])
    asked = f"--model_name_or_path {model} --freeze_layers 2 --logging_steps 2 --learning_rate 3e-3"
    asked += " --layerwise_lr_decay 0.9 --weight_decay 0.01 --num_train_epochs 1 --do_predict --test_file"
    asked += f" {tmp_path / 'dev.tsv'}"
    plain, first, _ = tune(asked, "plain")
    cached, second, said = tune(f"{asked} --cached {tmp_path / 'store'}", "cached")
    assert curve(cached) == pytest.approx(curve(plain), abs=2e-4)
    assert len(curve(plain)) > 6
    assert (
        np.ptp(curve(plain)) > 0.003
    )  # without the states the losses are others, not the same for all steps
    assert second.metrics["eval_accuracy"] == first.metrics["eval_accuracy"]
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (plain, cached))
    original = AutoModelForSequenceClassification.from_pretrained(model).state_dict()
    assert theirs.keys() == ours.keys() == original.keys()
    changed = {name for name in ours if not torch.equal(ours[name], original[name])}
    assert not any("embeddings" in name or "layers.1." in name or "layer.1." in name for name in changed)
    assert any("layers.2." in name or "layer.2." in name for name in changed)
    for name in changed:
        if "key.bias" not in name and "k_lin.bias" not in name:  # have no gradient, but for rounding
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-3, rtol=0)
    assert all((cached / name).read_text() for name in ("all_results.json", "eval_results.txt", "enc.json"))
    assert [*map(str, second.predictions)] == [str(cached / "predict_results.txt")]
    assert (cached / "predict_results.txt").read_text() == (plain / "predict_results.txt").read_text()
    assert any("train: states of layer 2" in line for line in said)
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    logits = [
        AutoModelForSequenceClassification.from_pretrained(folder).eval()(input_ids=ids).logits.detach()
        for folder in (plain, cached)
    ]
    torch.testing.assert_close(logits[1], logits[0], atol=2e-3, rtol=0)


def test_in_bf16_what_is_saved_is_what_was_judged(tune, tmp_path):
    folder, result, _ = tune(f"--freeze_layers 1 --cached {tmp_path / 'store'} --bf16 True")
    (name,) = Store(tmp_path / "store").feature_sets()
    assert Store(tmp_path / "store").open(name).spec.dtype == "float16"
    again, judged, _ = tune(f"--model_name_or_path {folder}", "again", task="--do_eval")
    assert again != folder
    assert judged.metrics["eval_loss"] == pytest.approx(result.metrics["eval_loss"], abs=0.02)
    assert load_classifier(folder).labels.values == (0, 1)


def test_it_goes_on_from_a_checkpoint_and_from_the_store(tune, tmp_path):
    more = f"--freeze_layers 1 --cached {tmp_path / 'store'} --save_strategy epoch --logging_steps 1"
    whole, judged, _ = tune(more, "whole")
    half, _, _ = tune(more, "half")
    for name in ("enc.json", "model.safetensors", "all_results.json"):
        (half / name).unlink()
    last = max(half.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    AutoModelForSequenceClassification.from_pretrained(last)  # a checkpoint is a whole model, too
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    record = json.loads((half / "enc-run.json").read_text())
    assert record["options"]["cached"] is True
    (half / "enc-run.json").write_text(json.dumps(record | {"finished": False}))
    _, _, said = tune(more, "half")
    assert any("going on from" in line for line in said)
    assert any("of which 0 were new" in line for line in said)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (half, whole))
    for name, weights in theirs.items():
        torch.testing.assert_close(ours[name], weights, atol=1e-6, rtol=0)
    _, finished, said = tune(more, "half")
    assert any("is finished" in line for line in said)
    assert finished.metrics["eval_loss"] == pytest.approx(judged.metrics["eval_loss"], abs=1e-4)


def test_rows_are_limited_and_pairs_are_joint(tune, write, tmp_path):
    rows = "".join(f"good x\t{word} y\t{word == 'good'}\n" for word in ("good", "bad", "hot") * 9)
    path = write("pairs.tsv", f"first\tsecond\tlabel\n{rows}")
    options = f"--train_file {path} --validation_file {path} --text_column first --pair_column second"
    options += f" --max_train_samples 2 --freeze_layers 1 --cached {tmp_path / 'store'}"
    _, result, said = tune(options)
    assert any("states of layer 1 of 2 texts, of which 2 were new" in line for line in said)
    assert np.isfinite(result.metrics["eval_loss"])


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ("", SourceError, "pass --freeze_layers N"),
        ("--freeze_layers 2", ModelError, "has 2 layers, and --freeze_layers 2 leaves none to train"),
        ("--freeze_layers 1 --lora", SourceError, "--lora changes all layers"),
        ("--freeze_layers 1 --neftune_noise_alpha 5", SourceError, "--neftune_noise_alpha cannot hold"),
        ("--freeze_layers 1 --gradient_checkpointing", SourceError, "--activation_checkpointing cannot hold"),
        ("--freeze_layers 1 --torch_compile", SourceError, "--torch_compile cannot hold"),
        ("--freeze_layers 1 --tokenizer_name x", SourceError, "the model's own tokenizer"),
    ],
)
def test_what_cannot_hold_is_refused_in_one_line(options, error, problem, tune, tmp_path):
    with pytest.raises(error, match=problem) as caught:
        tune(f"{options} --cached {tmp_path / 'store'}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_it_is_for_training_and_for_known_architectures(tune, tiny_model, tmp_path):
    store = f"--freeze_layers 1 --cached {tmp_path / 'store'}"
    with pytest.raises(SourceError, match="is for training: add --do_train"):
        tune(store, task="--do_eval")
    model = tiny_model("albert", embedding_size=8)
    with pytest.raises(ModelError, match="type 'albert' cannot be a head"):
        tune(f"{store} --model_name_or_path {model}")
