"""transformers' Trainer with what enc adds to it.

These are an order by length that survives a restart, learning rates by layer, and an end where
training diverges.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices

from ...store import DivergedError, ModelError
from .text_sets import TextSet


class LengthGrouped(Sampler[int]):
    """Rows in random order, those of like length near each other: an order by seed and epoch alone.

    Trainer's own draws from torch's global state, and so another order after a restart.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


class FineTuneTrainer(Trainer):
    """Trains on a TextSet; evaluates and predicts in the order that the set has.

    A step whose loss is not finite ends the training, and weights that are not finite are never
    saved: both raise DivergedError.
    """

    def __init__(self, *args: Any, layer_decay: float = 1.0, **kwargs: Any):
        self._layer_decay = layer_decay
        self.last_loss = float("nan")
        """Loss of the last step."""
        self.last_logits: np.ndarray | None = None
        """Of the set that was evaluated last, in the order in which it was served."""
        # The set makes whole batches.
        super().__init__(*args, data_collator=lambda batch: batch, **kwargs)  # type: ignore[arg-type]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Trainer's step. Raises DivergedError where the loss is not finite.

        With fp16, whose scaler leaves out steps that overflow, such a loss may be a single one.
        """
        loss = super().training_step(*args, **kwargs)
        self.last_loss = float(loss) * self.args.gradient_accumulation_steps
        if not self.args.fp16 and not math.isfinite(self.last_loss):
            raise self._diverged(f"the loss is {self.last_loss}")
        return loss

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        """Save the model, also as part of a checkpoint. Raises DivergedError where a weight is not finite."""
        assert isinstance(self.model, nn.Module)
        broken = not_finite(self.model)
        if broken:
            raise self._diverged(f"{len(broken)} tensors are not finite, {broken[0]} among them")
        super().save_model(*args, **kwargs)

    def _diverged(self, problem: str) -> DivergedError:
        return DivergedError(
            f"training diverged at step {self.state.global_step + 1} ({problem}); no model is saved; pass "
            f"--learning_rate lower than {self.args.learning_rate:g}, and --overwrite_output_dir"
        )

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[Any] | None:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if self.args.train_sampling_strategy != "group_by_length" or not isinstance(dataset, TextSet):
            return super()._get_train_sampler(train_dataset)
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthGrouped(dataset.tokens.lengths[dataset.order].tolist(), rows, seed)

    def _get_eval_sampler(self, eval_dataset: Dataset[Any]) -> Sampler[Any] | None:
        if self.args.world_size > 1:
            return None
        # Trainer's would shuffle the rows here, and so the predictions.
        return SequentialSampler(eval_dataset)  # type: ignore[arg-type]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Trainer's optimizer, where each layer has ``layer_decay`` times the rate of the layer above it."""
        if self._layer_decay == 1.0 or self.optimizer is not None:
            return super().create_optimizer(model)
        model = model or self.model
        assert model is not None
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)  # type: ignore[arg-type]
        decayed = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        depths = layer_depths(model)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                rate = self.args.learning_rate * self._layer_decay ** (max(depths.values()) - depths[name])
                groups.setdefault((rate, name in decayed), []).append(parameter)
        self.optimizer = kind(
            [
                {
                    "params": parameters,
                    "lr": rate,
                    "weight_decay": self.args.weight_decay if has_decay else 0.0,
                }
                for (rate, has_decay), parameters in groups.items()
            ],
            **options,
        )
        return self.optimizer


def not_finite(model: nn.Module) -> list[str]:
    """Names of a model's tensors with a value that is not finite."""
    return [
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def encoder_layers(model: nn.Module) -> nn.ModuleList:
    """A model's layers, the lowest first. Raises ModelError where they are not found."""
    wanted = model.config.num_hidden_layers  # type: ignore[union-attr]
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise ModelError("the model's layers were not found; leave out --freeze_layers and --layerwise_lr_decay")


def layer_depths(model: nn.Module) -> dict[str, int]:
    """Depth of each parameter by its name.

    The embeddings have 0, the lowest layer has 1, and what is above the highest layer has one more.
    """
    layers = encoder_layers(model)
    depth_of = {
        parameter: number for number, layer in enumerate(layers, start=1) for parameter in layer.parameters()
    }
    return {
        name: depth_of.get(parameter, 0 if "embeddings" in name else len(layers) + 1)
        for name, parameter in model.named_parameters()
    }


def freeze(model: PreTrainedModel, layers: int) -> None:
    """Keep the embeddings and the lowest ``layers`` as they are. Raises ModelError if there are fewer."""
    stack = encoder_layers(model)
    if layers > len(stack):
        raise ModelError(f"the model has {len(stack)} layers; --freeze_layers {layers} is more")
    depths = layer_depths(model)
    for name, parameter in model.named_parameters():
        if depths[name] <= layers:
            parameter.requires_grad_(False)
