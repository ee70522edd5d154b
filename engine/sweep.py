"""Many heads in one pass over the data, with stacked parameters.

Runs whose networks have the same shape, and which see the same batches, are trained together: their
parameters are stacked on a first axis, ``torch.func.vmap`` runs the network over it, and the
optimizer's arithmetic is written on the stack, with a learning rate of its own for each run. All
runs see the rows in the order of the sweep's first seed; each has the initial weights of its own
seed, and its own dropout. Features are standardized over all training rows, held out or not: that
tells a head nothing of their labels.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.func import functional_call, vmap

from ..store import HeadError
from .config import learning_rate_factor
from .data import Examples, TrainData
from .ensemble import Ensemble
from .grid import Run
from .heads import Standardized
from .metrics import Predicted, compute, is_better, metric_names, require_metric
from .model import rows_per_block
from .train import evaluate, fit, make_loss, make_network

State = dict[str, torch.Tensor]
_OWN = {"learning_rate": 1.0, "weight_decay": 0.0, "momentum": 0.0, "seed": 0}
"""Fields of TrainConfig in which runs that are trained together may differ."""
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # torch's own for AdamW


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    run: Run
    epoch: int
    """The epoch that was kept."""
    metrics: dict[str, float | None]
    """All metrics of the task, on the validation rows, or on those of the held-out fold."""
    network: Standardized | Ensemble
    rows: np.ndarray
    """int64 [judged]: the validation rows that it was judged on."""
    outputs: np.ndarray
    """Their probabilities or values, float32 [judged, outputs]; left out where there are no folds."""


def train_runs(
    data: TrainData, runs: Sequence[Run], *, folds: np.ndarray | None = None, say: Callable[[str], None] = lambda _: None
) -> list[RunResult]:
    """Train all runs on the features that ``data`` serves; results in the order of ``runs``.

    ``folds`` int64 [training rows] is each row's fold, for runs that hold one out: they are judged on
    it, and the validation rows must be the training rows. Runs that cannot be stacked are trained one
    after another, and ``say`` is told why.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        groups[repr(replace(run.config, **_OWN))].append(number)
    results: dict[int, RunResult] = {}
    for numbers in groups.values():
        chosen, config = [runs[number] for number in numbers], runs[numbers[0]].config
        require_metric(config.metric or data.task.metric, data.task, data.outputs)
        stack = _Stack(data, chosen, folds)
        problem = stack.problem()
        if problem:
            say(f"head '{config.head}' cannot be stacked ({problem}); its {len(chosen)} runs follow one after another")
            found = (_alone(data, run, folds) for run in chosen)
        else:
            found = stack.train(say)
        results |= dict(zip(numbers, found, strict=True))
    return [results[number] for number in range(len(runs))]


def _alone(data: TrainData, run: Run, folds: np.ndarray | None) -> RunResult:
    """A run by :func:`engine.train.fit`."""
    rows = np.arange(len(data.valid.targets))
    if folds is not None and run.fold is not None:
        rows = np.flatnonzero(folds == run.fold)
        data = replace(data, train=data.train.subset(np.flatnonzero(folds != run.fold)), valid=data.valid.subset(rows))
    head = fit(data, run.config)
    outputs = evaluate(head.network, data.valid, data.task, make_loss(data, run.config), outputs=True).outputs
    assert outputs is not None
    metrics = {name: head.metrics[name] for name in metric_names(data.task, data.outputs)}
    return RunResult(run, head.metrics["epoch"], metrics, head.network, rows, outputs)


class _Stack:
    """Runs that are trained together; stacked tensors have the runs on their first axis."""

    def __init__(self, data: TrainData, runs: Sequence[Run], folds: np.ndarray | None):
        self._data, self._runs, self._config = data, runs, runs[0].config
        self._networks = []
        first = make_network(data, self._config)  # has the scaling, which takes a pass over the data
        scaling = dict(first.named_buffers())
        for run in runs:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(run.config.seed)
                network = make_network(data, replace(run.config, standardize=False))
            for name, buffer in network.named_buffers():
                buffer.copy_(scaling[name])
            self._networks.append(network)
        self._base, self._buffers = self._networks[0], dict(self._networks[0].named_buffers())
        self._loss = make_loss(data, self._config)
        self._fold_of_rows = None if folds is None else torch.from_numpy(folds)
        self._fold_of_runs = torch.tensor([-1 if run.fold is None else run.fold for run in runs])
        self._own = {name: torch.tensor([getattr(run.config, name) for run in runs], dtype=torch.float32) for name in _OWN}

    def problem(self) -> str:
        """Why ``vmap`` cannot run the head; empty if it can."""
        state, features = self._initial(), torch.ones(2, *self._data.spec.shape)
        try:
            for training in (True, False):
                self._base.train(training)
                self._logits(state, features).sum().backward()
        except Exception as error:  # whatever a head does that vmap has no rule for
            return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")[:160]
        return ""

    def _initial(self) -> State:
        stacked = [dict(network.named_parameters()) for network in self._networks]
        return {name: torch.stack([one[name].detach() for one in stacked]).requires_grad_() for name in stacked[0]}

    def _logits(self, state: State, features: torch.Tensor) -> torch.Tensor:
        """Logits [runs, rows, outputs] of features [rows, *shape]."""

        def one(parameters: State) -> torch.Tensor:
            return functional_call(self._base, (parameters, self._buffers), (features,))

        return vmap(one, randomness="different")(state)

    def train(self, say: Callable[[str], None]) -> Iterator[RunResult]:
        """Train all runs; one result each."""
        config, task, examples = self._config, self._data.task, self._data.train
        watched = config.metric or task.metric
        keep_best = config.metric is not None or config.early_stopping is not None
        steps = config.epochs * -(-len(examples.targets) // config.batch_size)
        state = self._initial()
        optimizer = StackedOptimizer(state, config.optimizer, **{name: self._own[name] for name in _OWN if name != "seed"})
        best: list[float | None] = [None] * len(self._runs)
        best_epoch = [0] * len(self._runs)
        best_state = {name: value.detach().clone() for name, value in state.items()} if keep_best else {}
        stopped = torch.zeros(len(self._runs), dtype=torch.bool)
        step = epoch = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            for epoch in range(1, config.epochs + 1):
                self._base.train()
                total = torch.zeros(len(self._runs))
                for positions, features in examples.features.epoch(config.seed, epoch, config.batch_size):
                    loss = self._losses(state, positions, features)
                    loss.sum().backward()
                    optimizer.step(learning_rate_factor(step, steps, config.schedule, config.warmup))
                    total += loss.detach() * len(positions)
                    step += 1
                if not math.isfinite(float(total.sum())) and not keep_best:
                    bad = int(torch.isfinite(total).logical_not().nonzero()[0])
                    lr = self._runs[bad].config.learning_rate
                    raise HeadError(f"a run diverged in epoch {epoch}: the loss is no number; leave out learning rate {lr:g}")
                if not keep_best:
                    continue
                for number, result in enumerate(self._judged(state, [watched])):
                    if not stopped[number] and is_better(watched, result.metrics[watched], best[number]):
                        best[number], best_epoch[number] = result.metrics[watched], epoch
                        for name, value in state.items():
                            best_state[name][number] = value.detach()[number]
                    stopped[number] |= config.early_stopping is not None and epoch - best_epoch[number] >= config.early_stopping
                if stopped.all():
                    break
        say(f"{len(self._runs)} heads trained in one pass of {epoch} epochs")
        final = best_state if keep_best else state
        names = metric_names(task, self._data.outputs)
        for number, judged in enumerate(self._judged(final, names)):
            network = self._networks[number]
            network.load_state_dict({name: value.detach()[number] for name, value in final.items()} | self._buffers)
            yield replace(judged, epoch=best_epoch[number] if keep_best else epoch, network=network.eval())

    def _losses(self, state: State, positions: np.ndarray, features: np.ndarray) -> torch.Tensor:
        """Mean loss of a batch for each run [runs], over the rows that it does not hold out."""
        logits = self._logits(state, torch.from_numpy(features).float())
        target = torch.from_numpy(self._data.train.targets[positions])
        losses = vmap(lambda one: self._loss(one, target))(logits)
        if self._fold_of_rows is None:
            return losses.mean(1)
        kept = self._fold_of_rows[torch.from_numpy(positions)] != self._fold_of_runs[:, None]
        return (losses * kept).sum(1) / kept.sum(1).clamp(min=1)

    @torch.no_grad()
    def _judged(self, state: State, names: list[str]) -> Iterator[RunResult]:
        """Figures of each run on its validation rows; network and epoch as they were at first."""
        self._base.eval()
        task, examples = self._data.task, self._data.valid
        losses, outputs = self._over(state, examples)
        for number, run in enumerate(self._runs):
            rows = np.arange(len(examples.targets))
            if self._fold_of_rows is not None:
                rows = np.flatnonzero(self._fold_of_rows.numpy() == run.fold)
            values, targets = outputs[number][rows], examples.targets[rows]
            decided = task.decide(torch.from_numpy(values)).numpy()
            loss = float(losses[number][rows].mean())
            predicted = Predicted(task, self._data.outputs, loss, targets, decided, values)
            figures = compute(list(dict.fromkeys(["loss", *names])), predicted)
            yield RunResult(run, 0, figures, self._base, rows, values if self._fold_of_rows is not None else values[:0])

    def _over(self, state: State, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Losses [runs, rows] and activations [runs, rows, outputs] of a set."""
        losses, outputs, start = [], [], 0
        step = max(1, rows_per_block(examples.features.spec) // len(self._runs) + 1)
        for block in examples.features.blocks(step):
            logits = self._logits(state, torch.from_numpy(block).float())
            target = torch.from_numpy(examples.targets[start : start + len(block)])
            losses.append(vmap(lambda one, target=target: self._loss(one, target))(logits).numpy())
            outputs.append(self._data.task.activation(logits).numpy())
            start += len(block)
        return np.concatenate(losses, 1), np.concatenate(outputs, 1)


class StackedOptimizer:
    """SGD with momentum, or AdamW, on stacked parameters: torch's arithmetic, with settings [runs] of each run's own."""

    def __init__(self, state: State, kind: str, *, learning_rate: torch.Tensor, weight_decay: torch.Tensor, momentum: torch.Tensor):
        self._state, self._adam = state, kind == "adamw"
        self._rate, self._decay, self._momentum = learning_rate, weight_decay, momentum
        self._first = {name: torch.zeros_like(value) for name, value in state.items()}
        self._second = {name: torch.zeros_like(value) for name, value in state.items()} if self._adam else {}
        self._steps = 0

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Take the gradients' step at ``factor`` times the learning rates, and forget the gradients."""
        self._steps += 1
        for name, value in self._state.items():
            assert value.grad is not None
            shape = (-1, *[1] * (value.dim() - 1))
            rate, decay = (self._rate * factor).view(shape), self._decay.view(shape)
            first = self._first[name]
            if self._adam:
                second, (beta1, beta2) = self._second[name], _BETAS
                first.lerp_(value.grad, 1 - beta1)
                second.mul_(beta2).addcmul_(value.grad, value.grad, value=1 - beta2)
                root = (second / (1 - beta2**self._steps)).sqrt_().add_(_EPSILON)
                value.mul_(1 - rate * decay).sub_(rate / (1 - beta1**self._steps) * first / root)
            else:
                first.mul_(self._momentum.view(shape)).add_(value.grad).add_(decay * value)
                value.sub_(rate * first)
            value.grad = None


def fold_of_rows(texts: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold int64 [rows] of each row by what identifies its text: a text is never in two, and folds are of like size.

    Raises HeadError where there are fewer distinct texts than folds.
    """
    distinct, inverse = np.unique(texts, return_inverse=True)
    if len(distinct) < folds:
        raise HeadError(f"{folds} folds need as many distinct texts; there are {len(distinct)}")
    return (np.random.default_rng(seed).permutation(len(distinct)) % folds)[inverse]
