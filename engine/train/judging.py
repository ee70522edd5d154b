"""How a head is judged: its loss, its predictions on a set of rows, and the figures saved with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

from ...store import SourceError
from ..heads.by_length import computed_by_length, encoder_of, goes_by_length
from ..heads.ensemble import Ensemble
from ..heads.head import Head, rows_per_block
from ..heads.kinds import ENCODER
from ..heads.labels import Labels
from ..heads.losses import loss_weights
from ..heads.making import code_of_training
from ..heads.metrics import METRICS, Predicted, compute, confusion_matrix, metric_names
from ..heads.networks import Standardized
from ..heads.tasks import Task
from .config import TrainConfig
from .examples import Examples, TrainData
from .solve_config import SolveConfig
from .token_rows import rows_of

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Result(Protocol):
    """A step towards a head, as it is logged and kept in its history."""

    @property
    def row(self) -> dict[str, float | None]:
        """The figures as columns."""
        ...


def make_loss(data: TrainData, config: TrainConfig | SolveConfig) -> Loss:
    """The loss of each row, weighted and smoothed, from logits and targets of training or validation."""
    return loss_of(data.task, data.labels, data.train.targets, config)


def loss_of(task: Task, labels: Labels, targets: np.ndarray, config: TrainConfig | SolveConfig) -> Loss:
    """The same, for training rows with these targets."""
    if config.label_smoothing and not task.has_classes:
        raise SourceError("label smoothing is for tasks with classes; leave out --label-smoothing")
    weights = loss_weights(task, labels, targets, config.class_weights)
    row_loss = task.torch.loss
    return lambda logits, target: row_loss(logits, target, weights, config.label_smoothing)


@torch.inference_mode()
def evaluate(
    network: torch.nn.Module, examples: Examples, task: Task, loss: Loss, *, outputs: bool = False
) -> Predicted:
    """Mean loss and predictions of a set of rows, and with ``outputs`` the probabilities (or values), too.

    The network stays in evaluation mode.
    """
    network.eval()
    loss_sum, predicted, kept, classes, done = 0.0, np.empty_like(examples.targets), [], 1, 0
    for target, logits in _logits(network, examples):
        loss_sum += loss(logits, target).sum().item()
        values = task.torch.activation(logits)
        classes = values.shape[1]
        predicted[done : done + len(values)] = task.torch.decide(values).numpy()
        done += len(values)
        if outputs:
            kept.append(values.numpy())
    targets = examples.targets
    probabilities = np.concatenate(kept) if outputs else None
    return Predicted(task, classes, loss_sum / len(targets), targets, predicted, probabilities)


def _logits(network: torch.nn.Module, examples: Examples) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    if goes_by_length(network):
        logits = computed_by_length(network, partial(rows_of, examples.features), examples.token_counts)
        yield torch.from_numpy(examples.targets), logits
        return
    start = 0
    for block in examples.features.blocks(rows_per_block(examples.features.shape)):
        yield (
            torch.from_numpy(examples.targets[start : start + len(block)]),
            network(torch.from_numpy(block).float()),
        )
        start += len(block)


def tested(head: Head, test: Examples | None) -> Head:
    """The head with ``metrics["test"]``, its figures on test rows, if there are any.

    They are the task's metrics but for the loss, whose weights are the training's own, and ``rows``.
    """
    if test is None:
        return head
    outputs = np.concatenate(list(_outputs(head, test)))
    predicted = Predicted(head.task, outputs.shape[1], 0.0, test.targets, head.task.decide(outputs), outputs)
    names = [name for name in metric_names(head.task, outputs.shape[1]) if name != "loss"]
    matrix = confusion_matrix(predicted)
    figures: dict[str, Any] = {**compute(names, predicted), "rows": len(test.targets)}
    if matrix:
        figures["confusion_matrix"] = matrix
    return head.replace(metrics={**head.metrics, "test": figures})


def _outputs(head: Head, examples: Examples) -> Iterator[np.ndarray]:
    start = 0
    for block in examples.features.blocks(rows_per_block(examples.features.shape)):
        texts = examples.texts
        if texts is not None:
            texts = texts.take(np.arange(start, start + len(block)))
        yield head.outputs(block, texts)
        start += len(block)


def finished_head(
    data: TrainData,
    config: TrainConfig | SolveConfig,
    network: Standardized | Ensemble,
    loss: Loss,
    history: Sequence[Result],
    *,
    epoch: int,
) -> Head:
    """A trained network as a head, with all metrics of the task on the validation rows.

    The metrics are of the weights that ``network`` has now.
    """
    names = metric_names(data.task, data.outputs)
    validated = evaluate(
        network, data.valid, data.task, loss, outputs=any(METRICS[name].of_probabilities for name in names)
    )
    arguments: dict[str, Any] = dict(config.head_args)
    if config.head == ENCODER:  # training has added to what was asked for
        arguments = encoder_of(network).arguments
    valid, matrix = data.valid.summary, confusion_matrix(validated)
    sizes = {
        "epoch": epoch,
        "train_rows": data.train.summary.rows,
        "valid_rows": valid.rows,
        "parameters": network.parameters_count,
    }
    return Head.of_network(
        network,
        kind=config.head,
        arguments=arguments,
        code=code_of_training(config.head, allow_code=config.allow_code),
        task=data.task,
        labels=data.labels,
        spec=data.spec,
        feature_set=data.feature_set,
        text_column=data.text_column,
        pair_column=data.pair_column,
        combination=data.combination,
        metrics={
            **compute(names, validated),
            **({"majority_rate": valid.majority} if data.task.name == "single-label" else {}),
            **sizes,
            **({"confusion_matrix": matrix} if matrix else {}),
        },
        history=[result.row for result in history],
        record={"config": asdict(config), **data.record},
    )
