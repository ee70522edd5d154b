"""What is added to transformers' Trainer."""

import numpy as np
import pytest
import torch
from enc.engine.finetune.trainer import FineTuneTrainer, LengthGrouped, layer_depths, not_finite
from enc.store import DivergedError
from transformers import AutoModelForSequenceClassification, TrainingArguments


@pytest.fixture
def model(tiny_bert):
    return AutoModelForSequenceClassification.from_pretrained(tiny_bert)


def trainer_of(model, folder, **options):
    arguments = TrainingArguments(output_dir=str(folder), learning_rate=1.0, weight_decay=0.1, use_cpu=True)
    return FineTuneTrainer(model=model, args=arguments, **options)


def test_layers_learn_at_rates_of_their_own(model, tmp_path):
    optimizer = trainer_of(model, tmp_path, layer_decay=0.5).create_optimizer()
    depths = layer_depths(model)
    assert depths["bert.encoder.layer.1.output.dense.weight"] == 2
    named = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = named[parameter]
            assert group["lr"] == 0.5 ** (3 - depths[name]), name
            assert (group["weight_decay"] > 0) == (not name.endswith("bias") and "LayerNorm" not in name), (
                name
            )


def test_the_order_by_length_depends_on_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(1, 50, 400).tolist()

    def order(seed, epoch):
        sampler = LengthGrouped(lengths, 8, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(order(1, 0)) == list(range(400))
    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) != order(2, 1)
    batches = np.array([lengths[i] for i in order(1, 0)]).reshape(-1, 8)
    assert np.ptp(batches, axis=1).mean() < np.ptp(np.array(lengths).reshape(-1, 8), axis=1).mean() / 3


def test_weights_that_are_not_finite_are_never_saved(model, tmp_path):
    assert not_finite(model) == []
    trainer = trainer_of(model, tmp_path / "out")
    trainer.save_model(str(tmp_path / "sound"))
    with torch.no_grad():
        model.classifier.bias[0] = np.inf
        model.bert.embeddings.word_embeddings.weight[3, 2] = np.nan
    assert not_finite(model) == ["bert.embeddings.word_embeddings.weight", "classifier.bias"]
    with pytest.raises(
        DivergedError, match=r"2 tensors are not finite, bert.embeddings.word_embeddings.weight"
    ):
        trainer.save_model(str(tmp_path / "broken"))
    assert not (tmp_path / "broken").exists()


def test_a_loss_that_is_not_finite_ends_training(model, tmp_path):
    trainer = trainer_of(model, tmp_path)
    batch = {"input_ids": torch.ones(2, 4, dtype=torch.long), "labels": torch.tensor([0, 1])}
    trainer.current_gradient_accumulation_steps = 1  # as the training loop sets it
    assert trainer.training_step(model, batch) == pytest.approx(trainer.last_loss)
    with torch.no_grad():
        model.classifier.bias[0] = np.nan
    with pytest.raises(DivergedError, match=r"diverged at step 1 \(the loss is nan\); .* lower than 1, and"):
        trainer.training_step(model, batch)
