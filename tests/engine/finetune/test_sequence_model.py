"""The model that is trained: what is refused before training begins."""

import json
import shutil

import numpy as np
import pytest
import torch
from enc.engine.classifier import load_classifier
from enc.store import ModelError
from safetensors.torch import load_file, save_file
from transformers import AutoModel


@pytest.fixture
def copied(tiny_bert, tmp_path):
    """A copy of the tiny model's folder, changed."""

    def copied(change_config=lambda config: None, change_weights=lambda weights: None):
        folder = tmp_path / "changed"
        shutil.copytree(tiny_bert, folder, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text())
        change_config(config)
        (folder / "config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        change_weights(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copied


def test_a_configuration_with_more_layers_than_weights(tune, copied, tmp_path):
    folder = copied(lambda config: config.update(num_hidden_layers=100))
    with pytest.raises(
        ModelError,
        match=r"lacks weights that its configuration asks for: bert\.encoder\.layer\.10\..*\(1568 in all\); "
        "its config.json and its weights do not belong together",
    ):
        tune(f"--model_name_or_path {folder}")
    assert not (tmp_path / "tuned" / "config.json").exists()


def test_a_configuration_with_other_sizes(tune, copied):
    folder = copied(lambda config: config.update(vocab_size=200))
    with pytest.raises(ModelError, match=r"lacks weights .*: bert.embeddings.word_embeddings.weight"):
        tune(f"--model_name_or_path {folder} --ignore_mismatched_sizes")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(tune, copied, value, tmp_path):
    name = "encoder.layer.1.output.dense.bias"
    folder = copied(change_weights=lambda weights: weights[name][:1].fill_(value))
    with pytest.raises(
        ModelError, match=rf"has weights that are not finite: bert.{name}; get its files anew"
    ):
        tune(f"--model_name_or_path {folder}")
    assert not (tmp_path / "tuned" / "enc-run.json").exists()


def test_nothing_is_evaluated_with_a_random_classifier(tune):
    with pytest.raises(
        ModelError,
        match=r"has no trained classifier \(it lacks .*classifier.*\); pass --do_train, or a fine-tuned",
    ):
        tune("--task_name sst2", task="--do_eval")
    folder, trained, _ = tune()
    _, evaluated, _ = tune(f"--model_name_or_path {folder}", "evaluated", task="--do_eval")
    assert evaluated.metrics["eval_loss"] == trained.metrics["eval_loss"]


def test_other_classes_need_a_new_classifier(tune, write):
    folder, _, _ = tune("--max_steps 1")
    rows = "".join(f"{'abc'[i % 3]}\t{i % 3}\n" for i in range(9))
    path = write("three.tsv", f"sentence\tlabel\n{rows}")
    more = f"--model_name_or_path {folder} --train_file {path} --validation_file {path} --max_steps 1"
    with pytest.raises(ModelError, match="pass --ignore_mismatched_sizes for a new classifier"):
        tune(more, "three")
    tune(f"{more} --ignore_mismatched_sizes", "three")


def test_frozen_layers_stay_as_they_are(tune, tiny_bert):
    folder, _, _ = tune("--freeze_layers 1")
    before, after = (AutoModel.from_pretrained(path).state_dict() for path in (tiny_bert, folder))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert all(
        ("embeddings" in name or "layer.0." in name) == (name in same)
        for name in before
        if "pooler" not in name
    )
    with pytest.raises(ModelError, match="the model has 2 layers; --freeze_layers 3 is more"):
        tune("--freeze_layers 3", "more")


def test_lora_is_merged_into_a_plain_model(tune, tiny_bert):
    pytest.importorskip("peft", reason="peft is an extra and not installed")
    folder, _, _ = tune("--lora --lora_r 2")
    before, after = (AutoModel.from_pretrained(path).state_dict() for path in (tiny_bert, folder))
    changed = {name for name in before if not torch.equal(before[name], after[name]) and "pooler" not in name}
    assert changed
    assert all(".query." in name or ".value." in name for name in changed)
    assert load_classifier(folder).labels.values == (0, 1)
