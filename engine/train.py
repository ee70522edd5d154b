"""Training a head on features: setup, loop, evaluation, top to bottom."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy

from ..store import FeatureTable, LabelError, MissingFeatures, Source, SourceError, plan
from ..store.batches import PlannedFeatures
from ..store.duck import count, workspace
from ..store.stage import Stage, stage_source
from .heads import HEADS, Standardized, make_head
from .labels import Labels, listing
from .model import ROWS_PER_BATCH, Head

OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True)
class TrainConfig:
    """How a head is trained."""

    head: str = "linear"
    """One of :data:`engine.heads.HEADS`."""
    optimizer: str = "adamw"
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    """Of SGD."""
    standardize: bool = True
    """Scale every feature to mean 0 and variance 1 over the training rows; the scaling is saved with the head."""
    seed: int = 42

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise SourceError(f"unknown head '{self.head}'; there are {', '.join(HEADS)}")
        if self.optimizer not in OPTIMIZERS:
            raise SourceError(f"unknown optimizer '{self.optimizer}'; there are {', '.join(OPTIMIZERS)}")
        for name in ("epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise SourceError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class LabelCounts:
    """Rows by class of one set, in the order of the labels, and rows left out."""

    name: str
    counts: dict[str, int]
    unlabelled: int
    rejected: int

    @property
    def rows(self) -> int:
        """Rows with a label and features."""
        return sum(self.counts.values())

    @property
    def majority(self) -> float:
        """Share of the most frequent class: the accuracy of always guessing it."""
        return max(self.counts.values()) / max(1, self.rows)


@dataclass(frozen=True)
class EpochResult:
    """One line of the training log. Train figures are means over the epoch, while the weights change."""

    epoch: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Examples:
    """Features and class numbers (int64) of the same rows."""

    features: PlannedFeatures
    labels: np.ndarray


def train_head(
    train: Source,
    table: FeatureTable,
    *,
    valid: Source | None = None,
    valid_fraction: float | None = None,
    label_column: str = "label",
    config: TrainConfig = TrainConfig(),
    on_data: Callable[[LabelCounts, LabelCounts], None] | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> Head:
    """Train a classifier on the features of ``table``; the last epoch's weights are the result.

    Validation rows come from ``valid``, or are held out of ``train``: ``valid_fraction`` of its
    texts, chosen by seed, a text never on both sides. The same seed gives the same bits on the same
    machine. Raises MissingFeatures where texts were not encoded, LabelError for a label in
    ``valid`` that training does not have.
    """
    if (valid is None) == (valid_fraction is None):
        raise SourceError("give validation rows one way: --valid FILE or --valid-fraction 0.1")
    if valid_fraction is not None and not 0 < valid_fraction < 1:
        raise SourceError(f"valid_fraction must lie between 0 and 1, not {valid_fraction}")
    with workspace() as con:
        train_stage = stage_source(con, train, "train", label_column=label_column, keep_text=False)
        labels = Labels.of(train_stage)
        if valid is None:
            valid_stage, held_out = train_stage, plan.held_out_sql(valid_fraction or 0.0, config.seed)
            conditions = f"NOT ({held_out})", held_out
        else:
            valid_stage = stage_source(con, valid, "valid", label_column=label_column, keep_text=False)
            conditions = "true", "true"
        labels.write_ids(train_stage, "train_ids")
        labels.write_ids(valid_stage, "valid_ids")
        require_features(table, train_stage, valid_stage)
        train_set, train_counts = _examples(train_stage, table, labels, "train", conditions[0])
        valid_set, valid_counts = _examples(valid_stage, table, labels, "valid", conditions[1])
    if on_data:
        on_data(train_counts, valid_counts)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = make_head(config.head, table.spec.shape, len(labels))
    if config.standardize:
        _fit_scaling(network, train_set.features)
    optimizer = _optimizer(network, config)

    history, predicted = [], np.empty(0, np.int64)
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        network.train()
        loss_sum, correct = 0.0, 0
        for rows, batch in train_set.features.epoch(config.seed, epoch, config.batch_size):
            features = torch.from_numpy(batch).float()
            target = torch.from_numpy(train_set.labels[rows])
            logits = network(features)
            loss = cross_entropy(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(rows)
            correct += int((logits.argmax(1) == target).sum())
        network.eval()
        valid_loss, predicted = evaluate(network, valid_set)
        result = EpochResult(
            epoch,
            train_loss=loss_sum / len(train_set.labels),
            train_accuracy=correct / len(train_set.labels),
            valid_loss=valid_loss,
            valid_accuracy=float(np.mean(predicted == valid_set.labels)),
            seconds=round(time.perf_counter() - started, 4),
        )
        history.append(asdict(result))
        if on_epoch:
            on_epoch(result)

    return Head(
        kind=config.head,
        labels=labels,
        spec=table.spec,
        network=network,
        feature_set=table.name,
        text_column=train_stage.text_column,
        pair_column=train_stage.pair_column,
        metrics={
            "accuracy": history[-1]["valid_accuracy"],
            "f1_macro": float(f1_score(valid_set.labels, predicted, average="macro")),
            "loss": history[-1]["valid_loss"],
            "majority_rate": valid_counts.majority,
            "train_rows": train_counts.rows,
            "valid_rows": valid_counts.rows,
        },
        history=history,
        record={
            "config": asdict(config),
            "train": train.title,
            "valid": valid.title if valid else f"{valid_fraction} of train",
            "label_column": label_column,
            "delta_version": table.version,
        },
    )


@torch.inference_mode()
def evaluate(network: torch.nn.Module, examples: Examples) -> tuple[float, np.ndarray]:
    """Mean cross-entropy, and predicted class numbers int64 [rows], in evaluation mode."""
    loss_sum, predicted, start = 0.0, [], 0
    for block in examples.features.blocks(ROWS_PER_BATCH):
        logits = network(torch.from_numpy(block).float())
        target = torch.from_numpy(examples.labels[start : start + len(block)])
        loss_sum += cross_entropy(logits, target, reduction="sum").item()
        predicted.append(logits.argmax(1).numpy())
        start += len(block)
    return loss_sum / start, np.concatenate(predicted)


def require_features(table: FeatureTable, *stages: Stage) -> None:
    """Raise MissingFeatures, with the command that mends it, if a staged text is not in the table."""
    absent, sources = 0, []
    for stage in {stage.source: stage for stage in stages}.values():
        missing = count(stage.con, f"({plan.missing_sql(f'({plan.first_rows_sql(stage.name)})', table.shards)})")
        if missing:
            absent += missing
            sources.append(stage)
    if not absent:
        return
    files = " ".join(stage.source.title if stage.source.paths else f'--query "{stage.source.query}"' for stage in sources)
    pair = f" --pair-column {sources[0].pair_column}" if sources[0].pair_column else ""
    raise MissingFeatures(
        f"{absent} text{'s' * (absent != 1)} of {' and '.join(s.source.title for s in sources)} have no features yet; run "
        f"`enc build-features {files} --text-column {sources[0].text_column}{pair} --store {table.path.parent} "
        f"--name {table.name}`, or add --build"
    )


def _examples(stage: Stage, table: FeatureTable, labels: Labels, name: str, condition: str) -> tuple[Examples, LabelCounts]:
    shards = table.shards
    rows = stage.con.sql(plan.labelled_sql(stage.name, shards, f"{name}_ids", condition)).fetchnumpy()
    if not len(rows["label"]):
        raise SourceError(f"no row is left for the {name} set of {stage.source.title}")
    numbers = np.ascontiguousarray(rows["label"], dtype=np.int64)
    counts = np.bincount(numbers, minlength=len(labels)).tolist()
    unlabelled = count(stage.con, f"{stage.name} WHERE key IS NOT NULL AND label IS NULL AND {condition}")
    summary = LabelCounts(name, dict(zip(map(str, labels.values), counts, strict=True)), unlabelled, stage.rejected)
    if name == "train" and min(counts) == 0:
        empty = [value for value, rows in zip(labels.values, counts, strict=True) if not rows]
        raise LabelError(
            f"no training row is left with label {listing(empty)}; is the label column right, or --valid-fraction too large?"
        )
    locations = np.ascontiguousarray(rows["location"], dtype=np.int64)
    return Examples(PlannedFeatures(shards, table.spec, locations), numbers), summary


def _fit_scaling(network: Standardized, features: PlannedFeatures) -> None:
    """Set the scaling to the mean and standard deviation of each feature; constant features become 0."""
    total = torch.zeros(features.spec.shape, dtype=torch.float64)
    squares = torch.zeros_like(total)
    rows_per_block = max(1, (64 << 20) // (8 * total.numel()))
    for block in features.blocks(rows_per_block):
        values = torch.from_numpy(block).double()
        total += values.sum(0)
        squares += values.square().sum(0)
    mean = total / features.rows
    deviation = (squares / features.rows - mean.square()).clamp(min=0).sqrt()
    network.mean.copy_(mean)
    network.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation, 0.0))


def _optimizer(network: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
