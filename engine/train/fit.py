"""Training a head on features: setup, loop, evaluation, top to bottom."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Unpack

import numpy as np
import torch

from ...store import DivergedError, FeatureTable, HeadError, Source, SourceError
from ..heads.ensemble import Ensemble
from ..heads.head import Head, rows_per_block
from ..heads.metrics import (
    METRICS,
    Predicted,
    compute,
    confusion_matrix,
    is_better,
    metric_names,
    require_metric,
)
from ..heads.networks import Standardized, head_class, make_head
from ..heads.tasks import Task, loss_weights
from .config import TrainConfig, learning_rate_factor
from .examples import Examples, RowOptions, SetSummary, TrainData, load_examples
from .optimizer import make_optimizer
from .threads import is_small_step, one_thread

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class EpochResult:
    """One line of the training log: figures by name. Those of training are over the epoch, while the weights change."""

    epoch: int
    train: dict[str, float | None]
    valid: dict[str, float | None]
    learning_rate: float
    """At the epoch's last step."""
    seconds: float

    @property
    def row(self) -> dict[str, float | None]:
        """The figures as columns: epoch, train_loss, …, valid_loss, …, learning_rate, seconds."""
        figures = {
            f"{name}_{key}": value
            for name in ("train", "valid")
            for key, value in getattr(self, name).items()
        }
        return {"epoch": self.epoch, **figures, "learning_rate": self.learning_rate, "seconds": self.seconds}


class Result(Protocol):
    """A step towards a head, as it is logged and kept in its history."""

    @property
    def row(self) -> dict[str, float | None]:
        """The figures as columns."""
        ...


def train_head(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    config: TrainConfig | None = None,
    solver: Callable[..., Head] | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    on_epoch: Callable[[Any], None] | None = None,
    **rows: Unpack[RowOptions],
) -> Head:
    """Train a head on the features of ``table`` (or the table at this path), or on the parts that ``use`` names.

    For ``rows``, such as ``valid`` and ``label_column``, see :func:`engine.train.examples.load_examples`. The last epoch's
    weights are the result, or with ``config.metric`` or ``config.early_stopping`` the best epoch's. The same
    seed gives the same bits on the same machine. ``solver`` is another way from data to a head, called
    like :func:`fit`, such as :func:`engine.train.solve.solve`.
    """
    table = FeatureTable.of(table)
    config, spec = config or TrainConfig(), rows.get("use") or table.spec
    head_class(
        config.head, config.head_args, tokens=len(spec.shape) == 2
    )  # a misspelt head should not wait for the data
    data = load_examples(train, table, seed=config.seed, **rows)
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    return (solver or fit)(data, config, on_epoch=on_epoch)


def fit(
    data: TrainData,
    config: TrainConfig,
    *,
    order_seed: int | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> Head:
    """Train one head on data that was read before.

    The rows come in the order of ``order_seed``, or of the configuration's own seed. Raises
    DivergedError where the loss becomes no number.
    """
    order_seed = config.seed if order_seed is None else order_seed
    task, examples = data.task, data.train
    watched = config.metric or task.metric
    require_metric(watched, task, data.outputs)
    keep_best = config.metric is not None or config.early_stopping is not None
    with ExitStack() as scope:
        scope.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(config.seed)
        network = make_network(data, config)
        length = data.spec.shape[0] if network.takes_mask else 1
        scope.enter_context(one_thread(is_small_step(network.parameters_count, config.batch_size, length)))
        loss = make_loss(data, config)
        optimizer = make_optimizer(network, config)
        steps = config.epochs * -(-len(examples.targets) // config.batch_size)
        batch, step = torch.empty(min(config.batch_size, len(examples.targets)), *data.spec.shape), 0
        history: list[EpochResult] = []
        best: float | None = None
        best_epoch, best_state = 0, {}
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            network.train()
            loss_sum, predictions, rate = 0.0, np.empty_like(examples.targets), 0.0
            for positions, features in examples.features.epoch(order_seed, epoch, config.batch_size):
                logits = network(batch[: len(features)].copy_(torch.from_numpy(features)))
                batch_loss = loss(logits, torch.from_numpy(examples.targets[positions])).mean()
                rate = config.learning_rate * learning_rate_factor(
                    step, steps, config.schedule, config.warmup
                )
                batch_loss.backward()
                optimizer.step(rate)
                step += 1
                loss_sum += batch_loss.item() * len(positions)
                predictions[positions] = task.decide_logits(logits.detach().contiguous()).numpy()
            trained = Predicted(
                task, data.outputs, loss_sum / len(examples.targets), examples.targets, predictions
            )
            validated = evaluate(network, data.valid, task, loss, outputs=METRICS[watched].of_probabilities)
            if not math.isfinite(loss_sum + validated.loss):
                raise DivergedError(
                    f"training diverged in epoch {epoch}: the loss is no number; pass a lower --learning-rate"
                )
            result = EpochResult(
                epoch,
                train=compute(["loss", task.metric], trained),
                valid=compute(list(dict.fromkeys(["loss", task.metric, watched])), validated),
                learning_rate=rate,
                seconds=round(time.perf_counter() - started, 4),
            )
            history.append(result)
            if on_epoch:
                on_epoch(result)
            if is_better(watched, result.valid[watched], best):
                best, best_epoch = result.valid[watched], epoch
                best_state = copy.deepcopy(network.state_dict()) if keep_best else {}
            if config.early_stopping is not None and epoch - best_epoch >= config.early_stopping:
                break
        if keep_best:
            if not best_epoch:
                undefined = f"metric '{watched}' is undefined on the validation rows in every epoch"
                raise SourceError(f"{undefined}; pass another with --metric")
            network.load_state_dict(best_state)
        return finished_head(
            data, config, network.eval(), loss, history, epoch=best_epoch if keep_best else len(history)
        )


def make_network(data: TrainData, config: TrainConfig) -> Standardized:
    """A head with fresh weights for the data, its scaling set by the training rows.

    Raises HeadError for a head of which nothing can be trained.
    """
    network = make_head(
        config.head, data.spec.shape, data.outputs, config.head_args, targets=not data.task.has_classes
    )
    if not network.parameters_count:
        raise HeadError(f"head '{config.head}' has no weights to train; leave some with requires_grad")
    if config.standardize:
        mean, scale = data.train.scaling
        network.mean.copy_(mean)
        network.scale.copy_(scale)
    network.skip_idle_scaling()
    if network.targets:
        network.target_mean.fill_(float(np.mean(data.train.targets, dtype=np.float64)))
        network.target_scale.fill_(float(np.std(data.train.targets, dtype=np.float64)))
    return network


def make_loss(data: TrainData, config: TrainConfig) -> Loss:
    """The loss of each row, of logits and targets, weighted and smoothed; the same for training and validation."""
    if config.label_smoothing and not data.task.has_classes:
        raise SourceError("label smoothing is for tasks with classes; leave out --label-smoothing")
    weights = loss_weights(data.task, data.labels, data.train.targets, config.class_weights)
    return lambda logits, target: data.task.loss(logits, target, weights, config.label_smoothing)


@torch.inference_mode()
def evaluate(
    network: torch.nn.Module, examples: Examples, task: Task, loss: Loss, *, outputs: bool = False
) -> Predicted:
    """Mean loss and predictions of a set, in evaluation mode; probabilities, too, where ``outputs`` asks for them."""
    network.eval()
    loss_sum, predicted, kept, classes = 0.0, [], [], 1
    for target, logits in _logits(network, examples):
        loss_sum += loss(logits, target).sum().item()
        values = task.activation(logits)
        classes = values.shape[1]
        predicted.append(task.decide(values).numpy())
        if outputs:
            kept.append(values.numpy())
    targets = examples.targets
    probabilities = np.concatenate(kept) if outputs else None
    return Predicted(
        task, classes, loss_sum / len(targets), targets, np.concatenate(predicted), probabilities
    )


def _logits(network: torch.nn.Module, examples: Examples) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    start = 0
    for block in examples.features.blocks(rows_per_block(examples.features.spec)):
        yield (
            torch.from_numpy(examples.targets[start : start + len(block)]),
            network(torch.from_numpy(block).float()),
        )
        start += len(block)


def finished_head(
    data: TrainData,
    config: TrainConfig,
    network: Standardized | Ensemble,
    loss: Loss,
    history: Sequence[Result],
    *,
    epoch: int,
) -> Head:
    """A trained network as a head, with all metrics of the task on the validation rows, of the weights as they are."""
    names = metric_names(data.task, data.outputs)
    validated = evaluate(
        network, data.valid, data.task, loss, outputs=any(METRICS[name].of_probabilities for name in names)
    )
    valid, matrix = data.valid.summary, confusion_matrix(validated)
    sizes = {
        "epoch": epoch,
        "train_rows": data.train.summary.rows,
        "valid_rows": valid.rows,
        "parameters": network.parameters_count,
    }
    return Head(
        kind=config.head,
        arguments=dict(config.head_args),
        task=data.task,
        labels=data.labels,
        spec=data.spec,
        network=network,
        feature_set=data.feature_set,
        text_column=data.text_column,
        pair_column=data.pair_column,
        metrics={
            **compute(names, validated),
            **({"majority_rate": valid.majority} if data.task.name == "single-label" else {}),
            **sizes,
            **({"confusion_matrix": matrix} if matrix else {}),
        },
        history=[result.row for result in history],
        record={"config": asdict(config), **data.record},
    )
