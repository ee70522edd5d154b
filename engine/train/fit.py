"""Training a head on features: setup, loop, evaluation, top to bottom."""

import copy
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from ...store import DivergedError, FeatureTable, HeadError, Source, SourceError
from ...store.progress import counted, tell
from ..heads.by_length import autocast_of
from ..heads.head import Head
from ..heads.kinds import ENCODER
from ..heads.making import head_class, make_head
from ..heads.metrics import METRICS, Predicted, compute, require_metric
from ..heads.networks import Standardized
from ..heads.own_code import OwnCode
from .best import BestEpoch, undefined_metric
from .config import TrainConfig
from .examples import RowOptions, TrainData, load_examples
from .judging import evaluate, finished_head, make_loss, tested
from .optimizer import make_optimizer
from .schedule import learning_rate_factor
from .solve_config import SolveConfig
from .summary import SetSummary
from .threads import is_small_step, one_thread
from .training_rows import TrainingRows
from .validation import Folds


@dataclass(frozen=True)
class EpochResult:
    """One line of the training log: figures by name.

    The training figures are taken over the whole epoch, while the weights change.
    """

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


def train_head(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    config: TrainConfig | SolveConfig | None = None,
    on_data: Callable[[SetSummary, SetSummary], None] | None = None,
    on_epoch: Callable[[Any], None] | None = None,
    **rows: Unpack[RowOptions],
) -> Head:
    """Train a head on the features of ``table`` (or the table at this path), or on the parts that ``use``
    names.

    For ``rows``, such as ``valid`` and ``label_column``, see :func:`engine.train.examples.load_examples`.
    With a TrainConfig, which is the default, the head is trained by :func:`fit`, with a SolveConfig it is
    solved for by :func:`engine.train.solve.solve`. ``on_epoch`` is called with each EpochResult, or each
    PathResult. The same seed gives the same bits on the same machine.
    """
    table = FeatureTable.of(table)
    config, spec = config or TrainConfig(), rows.get("use") or table.spec
    if isinstance(rows.get("valid"), Folds):
        raise SourceError(
            "a single head is validated on a Source or Fraction(0.2); with Folds call search or search_path"
        )
    # A misspelt head should not wait for the data.
    code = OwnCode(config.allow_code)
    is_tokens = len(spec.shape) == 2 and not train.is_separate
    head_class(config.head, config.head_args, tokens=is_tokens, code=code)
    data = load_examples(train, table, seed=config.seed, **rows)
    if on_data:
        on_data(data.train.summary, data.valid.summary)
    if isinstance(config, TrainConfig):
        return tested(fit(data, config, on_epoch=on_epoch), data.test)
    from .solve import solve  # which loads SciPy

    return tested(solve(data, config, on_epoch=on_epoch), data.test)


def fit(
    data: TrainData,
    config: TrainConfig,
    *,
    order_seed: int | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> Head:
    """Train one head on data that was read before.

    The last epoch's weights are the result, or with ``config.metric`` or ``config.early_stopping`` the best
    epoch's. Processes of torch.distributed share every batch (:mod:`.ranks`).

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
        length = data.shape[0] if network.takes_mask else 1
        scope.enter_context(one_thread(is_small_step(network.parameters_count, config.batch_size, length)))
        loss = make_loss(data, config)
        optimizer = make_optimizer(network, config)
        steps = config.epochs * -(-len(examples.targets) // config.batch_size)
        rows, step = TrainingRows(examples, network, config.batch_size), 0
        history: list[EpochResult] = []
        best, best_state = BestEpoch(watched, config.early_stopping), {}
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            network.train()
            loss_sum, predictions, rate = 0.0, np.zeros_like(examples.targets), 0.0
            for positions, features, size in counted(rows.epoch(order_seed, epoch), "training", step, steps):
                with autocast_of(network):
                    logits = network(features)
                losses = loss(logits, torch.from_numpy(examples.targets[positions]))
                batch_loss = rows.ranks.mean(losses, size)
                rate = config.learning_rate * learning_rate_factor(
                    step, steps, config.schedule, config.warmup
                )
                rows.ranks.backward(batch_loss, network)
                optimizer.step(rate)
                step += 1
                loss_sum += batch_loss.item() * size
                predictions[positions] = task.torch.decide_logits(logits.detach().contiguous()).numpy()
            predictions, loss_sum = rows.ranks.gathered(predictions, loss_sum)
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
            if best.improves(epoch, result.valid[watched]) and keep_best:
                best_state = copy.deepcopy(network.state_dict())
            if best.is_over(epoch):
                break
        tell("training", steps, steps)
        if keep_best:
            if not best.epoch:
                raise undefined_metric(watched)
            network.load_state_dict(best_state)
        kept = best.epoch if keep_best else len(history)
        return finished_head(data, config, network.eval(), loss, history, epoch=kept)


def make_network(data: TrainData, config: TrainConfig) -> Standardized:
    """A head with fresh weights for the data, its scaling set by the training rows.

    Raises HeadError for a head of which nothing can be trained.
    """
    if config.head == ENCODER:
        from .begin_encoder import begun_encoder  # which loads transformers

        return begun_encoder(data, config)
    network = make_head(
        config.head,
        data.shape,
        data.outputs,
        config.head_args,
        targets=not data.task.has_classes,
        code=OwnCode(config.allow_code),
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
