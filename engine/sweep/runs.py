"""Many heads in one pass over the data, with stacked parameters.

Runs whose networks have the same shape are trained together as :class:`engine.sweep.stacked.StackedHeads`,
with a learning rate of its own for each. All runs of a sweep see the rows in one order, that of the
sweep's seed; each has the initial weights of its own seed, and its own dropout. A run of that seed is
what :func:`engine.train.fit.fit` makes of its configuration, but for dropout. Features are standardized
over all training rows, held out or not: that tells a head nothing of their labels. A step is computed as one
stack, or one head after the other, whichever is quicker; but for rounding, the results are the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...store import DivergedError
from ...store.progress import counted, tell
from ...store.token_rows import padded_to
from ..heads.ensemble import Ensemble
from ..heads.head import rows_per_block
from ..heads.metrics import Predicted, compute, metric_names, require_metric
from ..heads.networks import Standardized
from ..train.best import BestEpoch
from ..train.config import TrainConfig
from ..train.examples import Examples, TrainData
from ..train.fit import fit, make_network
from ..train.judging import make_loss
from ..train.schedule import learning_rate_factor
from ..train.threads import is_small_step
from .folds import holding_out
from .grid import Run, Trial
from .stacked import StackedHeads, StackedOptimizer, State, activation_bytes, stacking_problem, unstacked
from .ways import Way, quickest_way, way_text

STACK_BYTES = 512 << 20
"""Of memory for a stack; more runs than fit into it are trained in several passes."""
_OWN = {"learning_rate": 1.0, "weight_decay": 0.0, "momentum": 0.0}
"""Fields of TrainConfig, besides the seed, in which runs that are trained together may differ."""
_Say = Callable[[str], None]


@dataclass(frozen=True)
class RunResult:
    """What became of one run."""

    run: Trial
    epoch: int
    """The epoch that was kept, or the step of a path of regularisation; 0 for a run that diverged."""
    metrics: dict[str, float | None]
    """All metrics of the task, on the validation rows or the held-out fold; None where undefined."""
    network: Standardized | Ensemble
    diverged: bool = False
    """Whether the loss became no number; all metrics are None then."""


def train_runs(
    data: TrainData,
    runs: Sequence[Run],
    *,
    seed: int | None = None,
    folds: np.ndarray | None = None,
    say: _Say = lambda _: None,
) -> list[RunResult]:
    """Train all runs on the features that ``data`` serves; results in the order of ``runs``.

    ``seed`` is that of the rows' order, else the first run's. ``folds`` int64 [training rows] is each
    row's fold, for runs that hold one out: they are judged on it, and the validation rows must be the
    training rows. A run that diverges does not stop the others. ``say`` is told of runs that cannot be
    stacked, which are trained one after another, and of stacks larger than STACK_BYTES, which are split.
    """
    seed = runs[0].config.seed if seed is None else seed
    groups: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        groups[repr(replace(run.config, seed=0, **_OWN))].append(number)
    results: dict[int, RunResult] = {}
    tell("sweeping", 0, len(runs))
    for numbers in groups.values():
        chosen, config = [runs[number] for number in numbers], runs[numbers[0]].config
        require_metric(config.metric or data.task.metric, data.task, data.outputs)
        network = _network(data, config)
        problem = stacking_problem(network, data.shape, folds=folds is not None)
        if problem:
            say(
                f"head '{config.head}' cannot be stacked ({problem}); "
                f"its {len(chosen)} runs follow one after another"
            )
            for number, run in zip(numbers, chosen, strict=True):
                results[number] = _alone(data, run, seed, folds)
                tell("sweeping", len(results), len(runs))
            continue
        each = stacked_bytes(data, config, network)
        passes = -(-len(chosen) * each // STACK_BYTES)
        if passes > 1:
            size = f"{len(chosen) * each / 1e9:.2g} GB, more than {STACK_BYTES / 1e9:.2g} GB"
            say(
                f"a stack of {len(chosen)} heads would take {size}: "
                f"they are trained in {min(passes, len(chosen))} passes"
            )
        for part in np.array_split(np.array(numbers), min(passes, len(chosen))):
            together = [runs[number] for number in part]
            networks = [_network(data, run.config) for run in together]
            results |= zip(
                part.tolist(), _Stack(data, together, networks, seed, folds).train(say), strict=True
            )
            tell("sweeping", len(results), len(runs))
    return [results[number] for number in range(len(runs))]


def stacked_bytes(data: TrainData, config: TrainConfig, network: Standardized) -> int:
    """About how many bytes a head adds to a stack: weights, optimizer, a batch, validation figures."""
    moments = 2 if config.optimizer == "adamw" else 1
    # The network's own weights, the stack's, their gradients, the best epoch's, and the optimizer's values.
    weights = (6 + moments) * 4 * network.parameters_count
    # The backward pass makes about as much as the forward pass has kept.
    batch = config.batch_size * (2 * activation_bytes(network, data.shape) + 16 * data.outputs)
    return weights + batch + 4 * len(data.valid.targets) * (1 + data.outputs)


def _network(data: TrainData, config: TrainConfig) -> Standardized:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return make_network(data, config)


def _alone(data: TrainData, run: Run, seed: int, folds: np.ndarray | None) -> RunResult:
    """A run by :func:`engine.train.fit.fit`."""
    if folds is not None and run.fold is not None:
        data = holding_out(data, folds, run.fold)
    names = metric_names(data.task, data.outputs)
    try:
        head = fit(data, run.config, order_seed=seed)
    except DivergedError:
        return RunResult(run, 0, dict.fromkeys(names), _network(data, run.config), diverged=True)
    return RunResult(run, head.metrics["epoch"], {name: head.metrics[name] for name in names}, head.network)


class _Stack:
    """Runs that are trained together."""

    def __init__(
        self,
        data: TrainData,
        runs: Sequence[Run],
        networks: Sequence[Standardized],
        seed: int,
        folds: np.ndarray | None,
    ):
        self._data, self._runs, self._networks, self._seed = data, runs, networks, seed
        self._config, self._heads = runs[0].config, StackedHeads(networks)
        self._loss = make_loss(data, self._config)
        self._fold_of_rows = None if folds is None else torch.from_numpy(folds)
        self._fold_of_runs = torch.tensor([-1 if run.fold is None else run.fold for run in runs])

    def train(self, say: _Say) -> Iterator[RunResult]:
        """Train all runs; one result each."""
        config, task, examples, runs = self._config, self._data.task, self._data.train, len(self._runs)
        watched = config.metric or task.metric
        keep_best = config.metric is not None or config.early_stopping is not None
        steps = config.epochs * -(-len(examples.targets) // config.batch_size)
        state = self._heads.state
        own = {
            name: torch.tensor([getattr(run.config, name) for run in self._runs], dtype=torch.float32)
            for name in _OWN
        }
        optimizer = StackedOptimizer(state, config.optimizer, **own)
        best = [BestEpoch(watched, config.early_stopping) for _ in range(runs)]
        best_state = {name: value.detach().clone() for name, value in state.items()} if keep_best else {}
        going, diverged = set(range(runs)), set()
        seeds = [run.config.seed for run in self._runs]
        way, seconds = self._way(steps)
        self._heads.is_stacked = way.is_stacked
        step = epoch = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            for epoch in range(1, config.epochs + 1):
                self._heads.train(True)
                total = torch.zeros(runs)
                with way.threads_set():
                    batches = examples.features.epoch(self._seed, epoch, config.batch_size)
                    for positions, features in counted(batches, "training", step, steps):
                        self._heads.drop(seeds, step)
                        loss = self._losses(positions, features)
                        loss.sum().backward()
                        optimizer.step(learning_rate_factor(step, steps, config.schedule, config.warmup))
                        total += loss.detach() * len(positions)
                        step += 1
                judged = list(self._judged(state, ["loss", watched])) if keep_best else []
                # A run that has stopped is trained along, and no longer looked at.
                for number in sorted(going):
                    if not total[number].isfinite() or (judged and judged[number]["loss"] is None):
                        diverged.add(number)
                        going.discard(number)
                        continue
                    if judged and best[number].improves(epoch, judged[number][watched]):
                        for name, value in state.items():
                            best_state[name][number] = value.detach()[number]
                    if best[number].is_over(epoch):
                        going.discard(number)
                if not going:
                    break
        tell("training", steps, steps)
        say(f"{runs} heads trained in one pass of {epoch} epochs, {way_text(way, seconds)}")
        final, names = best_state if keep_best else state, metric_names(task, self._data.outputs)
        for number, metrics in enumerate(self._judged(final, names)):
            failed = number in diverged or metrics["loss"] is None
            kept = best[number].epoch if keep_best else epoch
            if failed:
                kept = 0
            network = unstacked(self._networks[number], final, number)
            yield RunResult(
                self._runs[number], kept, metrics if kept else dict.fromkeys(names), network, failed
            )

    def _way(self, steps: int) -> tuple[Way, dict[Way, float]]:
        """The quickest way to compute a step, by the first rows."""
        examples, config, heads = self._data.train, self._config, self._heads
        positions = np.arange(min(config.batch_size, len(examples.targets)))
        features = examples.features.take(positions)

        def step(way: Way) -> None:
            heads.is_stacked = way.is_stacked
            self._losses(positions, features).sum().backward()
            for value in heads.state.values():
                value.grad = None

        length = self._data.shape[0] if len(self._data.shape) == 2 else 1
        with torch.random.fork_rng(devices=[]):
            heads.train(True)
            return quickest_way(
                step,
                steps,
                heads=len(self._runs),
                can_follow=heads.can_follow,
                is_small=is_small_step(
                    self._networks[0].parameters_count * len(self._runs), len(positions), length
                ),
            )

    def _losses(self, positions: np.ndarray, features: np.ndarray) -> torch.Tensor:
        """Mean loss of a batch for each run [runs], over the rows that it does not hold out."""
        if features.ndim == 3:  # tokens come padded to the longest row of a batch
            features = padded_to(features, self._data.shape[0])
        losses = self._loss_of(
            self._heads.logits(torch.from_numpy(features).float()), self._data.train.targets[positions]
        )
        if self._fold_of_rows is None:
            return losses.mean(1)
        kept = self._fold_of_rows[torch.from_numpy(positions)] != self._fold_of_runs[:, None]
        return (losses * kept).sum(1) / kept.sum(1).clamp(min=1)

    def _loss_of(self, logits: torch.Tensor, targets: np.ndarray) -> torch.Tensor:
        """Losses [runs, rows] of logits [runs, outputs, rows]."""
        target = torch.from_numpy(targets).movedim(0, -1)
        return self._loss(logits, target.expand(len(logits), *target.shape))

    def _judged(self, state: State, names: list[str]) -> Iterator[dict[str, float | None]]:
        """Figures of each run on its validation rows."""
        task, targets = self._data.task, self._data.valid.targets
        losses, outputs = self._over(state, self._data.valid)
        for number, run in enumerate(self._runs):
            rows = (
                slice(None)
                if self._fold_of_rows is None
                else np.flatnonzero(self._fold_of_rows.numpy() == run.fold)
            )
            values = outputs[number, rows]
            decided = task.decide(values)
            loss = float(losses[number, rows].mean(dtype=np.float64))
            yield compute(names, Predicted(task, self._data.outputs, loss, targets[rows], decided, values))

    @torch.no_grad()
    def _over(self, state: State, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Losses [runs, rows] and activations [runs, rows, outputs] of a set."""
        self._heads.train(False)
        runs, rows, start = len(self._runs), len(examples.targets), 0
        losses, outputs = (
            np.empty((runs, rows), np.float32),
            np.empty((runs, rows, self._data.outputs), np.float32),
        )
        for block in examples.features.blocks(rows_per_block(examples.features.shape) // runs + 1):
            stop = start + len(block)
            logits = self._heads.logits(torch.from_numpy(block).float(), state)
            losses[:, start:stop] = self._loss_of(logits, examples.targets[start:stop]).numpy()
            outputs[:, start:stop] = self._data.task.torch.activation(logits.transpose(1, 2)).numpy()
            start = stop
        return losses, outputs
