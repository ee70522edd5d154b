"""What a head is trained on: rows with features and targets, read once, whatever is trained on them then."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import torch

from ...store import FeatureSpec, FeatureTable, LabelError, MissingFeatures, Source, SourceError, plan
from ...store.batches import PlannedFeatures
from ...store.duck import count, workspace
from ...store.stage import Stage, stage_source
from ..heads.labels import Labels, listing
from ..heads.networks import token_mask
from ..heads.targets import detect_task, labels_of, read_targets
from ..heads.tasks import REGRESSION, Task
from .threads import in_shares

_SHARES = 16  # of the rows, each summed up by itself: the sums do not depend on the number of threads
_BLOCK_BYTES = 1 << 20  # of float32; what is done to a block finds it in a processor's own cache


@dataclass(frozen=True)
class SetSummary:
    """What is in one set of rows, and what was left out of it."""

    name: str
    rows: int
    """Rows with a label and features."""
    counts: dict[str, int]
    """Rows by label, in the order of the labels; a row with several labels counts for each. None for a regression."""
    span: tuple[float, float] | None
    """The lowest and the highest target of a regression."""
    unlabelled: int
    rejected: int

    @property
    def majority(self) -> float:
        """Share of the most frequent class: the accuracy of always guessing it."""
        return max(self.counts.values(), default=0) / max(1, self.rows)


@dataclass(frozen=True)
class Examples:
    """Features and targets (see :func:`engine.heads.targets.read_targets`) of the same rows."""

    features: PlannedFeatures
    targets: np.ndarray
    summary: SetSummary
    source_rows: pa.Table | None = None
    """Where each row stands: ``source`` (the file) and ``row`` in it, from 1; None unless it was asked for."""

    @cached_property
    def scaling(self) -> tuple[torch.Tensor, torch.Tensor]:
        """:func:`feature_scaling` of the features: a pass over them, taken once for all heads that are trained on them."""
        return feature_scaling(self.features)

    def subset(self, rows: np.ndarray) -> "Examples":
        """Some of the rows (int64 positions), in the order given; the summary stays that of all."""
        return replace(self, features=self.features.part(rows=rows), targets=self.targets[rows])


@dataclass(frozen=True)
class TrainData:
    """Rows to train and to validate on, for any number of heads."""

    task: Task
    labels: Labels
    spec: FeatureSpec
    """Setting of the features as they are served: of the parts that are used."""
    train: Examples
    valid: Examples
    feature_set: str
    text_column: str
    pair_column: str | None
    record: dict[str, Any] = field(default_factory=dict)
    """Where the rows came from: sources, their fingerprints, label columns, Delta version."""

    @property
    def outputs(self) -> int:
        """How many outputs a head needs."""
        return len(self.labels) if self.task.has_classes else 1

    def using(self, use: FeatureSpec) -> "TrainData":
        """The same rows, with these parts of their features."""
        if use == self.spec:
            return self
        train = replace(self.train, features=self.train.features.part(use))
        same = self.valid is self.train
        valid = train if same else replace(self.valid, features=self.valid.features.part(use))
        return replace(self, spec=use, train=train, valid=valid)


class RowOptions(TypedDict, total=False):
    """Which rows to train and to validate on, and what of them, as :func:`load_examples` takes it."""

    valid: Source | None
    valid_fraction: float | None
    label_column: str | Sequence[str]
    task: str | None
    """One of :data:`engine.heads.tasks.TASKS`; it follows from the label columns where they leave no doubt."""
    use: FeatureSpec | None
    batches: str | None
    """One of :data:`store.batches.MODES`; chosen by the available memory unless given."""


def load_examples(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    valid: Source | None = None,
    valid_fraction: float | None = None,
    label_column: str | Sequence[str] = "label",
    task: str | None = None,
    use: FeatureSpec | None = None,
    batches: str | None = None,
    seed: int = 42,
    cross_validate: bool = False,
) -> TrainData:
    """Read labels and splits from the sources, and plan the features of their rows.

    Validation rows come from ``valid``, or are held out of ``train``: ``valid_fraction`` of its
    texts, chosen by ``seed``, a text never on both sides; or with ``cross_validate`` they are the
    training rows themselves, and tell where they stand in the source. ``use`` is the setting of a part of the
    table's features (:meth:`FeatureSpec.select`). Raises MissingFeatures where texts were not
    encoded, LabelError for labels that the task cannot take, SpecError for parts that are not there.
    """
    if [valid is not None, valid_fraction is not None, cross_validate].count(True) != 1:
        raise SourceError("give validation rows one way: --valid FILE, --valid-fraction 0.1, or --folds 5")
    if valid_fraction is not None and not 0 < valid_fraction < 1:
        raise SourceError(f"valid_fraction must lie between 0 and 1, not {valid_fraction}")
    table = FeatureTable.of(table)
    if use is not None and not table.spec.covers(use):
        table.require(use)
    with workspace() as con:
        train_stage = stage_source(con, train, "train", label_column=label_column, keep_text=False)
        kind = detect_task(train_stage, task)
        labels = labels_of(train_stage, kind)
        if cross_validate:
            valid_stage, conditions = train_stage, ("true", "true")
        elif valid is None:
            valid_stage, held_out = train_stage, plan.held_out_sql(valid_fraction or 0.0, seed)
            conditions = f"NOT ({held_out})", held_out
        else:
            valid_stage = stage_source(con, valid, "valid", label_column=label_column, keep_text=False)
            conditions = "true", "true"
        require_features(table, train_stage, valid_stage)
        sets = [
            _examples(stage, table, kind, labels, name, condition, use=use, batches=batches)
            for stage, name, condition in zip(
                (train_stage, valid_stage), ("train", "valid"), conditions, strict=True
            )
            if not (cross_validate and name == "valid")
        ]
        if cross_validate:
            rows = train_stage.con.sql(plan.source_rows_sql("train")).to_arrow_table()
            sets = [replace(sets[0], source_rows=rows)] * 2
        return TrainData(
            task=kind,
            labels=labels,
            spec=use or table.spec,
            train=sets[0],
            valid=sets[1],
            feature_set=table.name,
            text_column=train_stage.text_column,
            pair_column=train_stage.pair_column,
            record={
                "train": train.title,
                "valid": valid.title
                if valid
                else "folds of train"
                if cross_validate
                else f"{valid_fraction} of train",
                "fingerprints": {stage.name: _fingerprint(stage) for stage in (train_stage, valid_stage)},
                "label_columns": list(train_stage.label_columns),
                "delta_version": table.version,
                "feature_set_digest": table.spec.digest,
            },
        )


def require_features(table: FeatureTable, *stages: Stage) -> None:
    """Raise MissingFeatures, with the command that mends it, if a staged text is not in the table."""
    absent, sources = 0, []
    for stage in {stage.source: stage for stage in stages}.values():
        missing = count(
            stage.con, f"({plan.missing_sql(f'({plan.first_rows_sql(stage.name)})', table.shards)})"
        )
        if missing:
            absent += missing
            sources.append(stage)
    if not absent:
        return
    files = " ".join(
        stage.source.title if stage.source.paths else f'--query "{stage.source.query}"' for stage in sources
    )
    pair = f" --pair-column {sources[0].pair_column}" if sources[0].pair_column else ""
    raise MissingFeatures(
        f"{absent} text{'s' * (absent != 1)} of {' and '.join(s.source.title for s in sources)} have no features yet; run "
        f"`enc build-features {files} --text-column {sources[0].text_column}{pair} --store {table.path.parent} "
        f"--name {table.name}`, or add --build"
    )


def feature_scaling(features: PlannedFeatures) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1 / standard deviation of each feature, float64; 0 in place of the latter for constant ones.

    They have the shape of pooled features, and of token features that of the last axis, over tokens alone.
    """
    shape = features.spec.shape
    block_rows = min(features.rows, max(1, _BLOCK_BYTES // (4 * int(np.prod(shape)))))

    def sums(first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mean, squared distances to it, and the rows they are of."""
        total = torch.zeros(shape[-1:], dtype=torch.float64)
        squares, rows, shift = torch.zeros_like(total), 0, None
        held = torch.empty(block_rows, *shape)
        for block in features.blocks(block_rows, first, stop):
            values = held[: len(block)].copy_(torch.from_numpy(block))
            values = values[token_mask(values)] if len(shape) == 2 else values
            if shift is None and len(values):
                shift = values.mean(
                    0
                )  # what is far from 0 beside its spread would lose that spread in float32
            if shift is not None:
                values.sub_(shift)
            # Within a block float32 is exact enough, and several times as fast.
            total += values.sum(0)
            squares += values.square_().sum(0)
            rows += len(values)
        distance = total / max(1, rows)
        return distance if shift is None else distance + shift, squares - rows * distance.square(), rows

    means, squares, counts = map(list, zip(*in_shares(sums, features.rows, shares=_SHARES), strict=True))
    rows = max(1, sum(counts))
    weights = torch.tensor(counts, dtype=torch.float64).unsqueeze(1) / rows
    shares = torch.stack(means)
    mean = (shares * weights).sum(0)
    variance = torch.stack(squares).sum(0) / rows + ((shares - mean).square() * weights).sum(0)
    deviation = variance.clamp(min=0).sqrt()
    return mean, torch.where(deviation > 1e-6, 1 / deviation, 0.0)


def _examples(
    stage: Stage,
    table: FeatureTable,
    task: Task,
    labels: Labels,
    name: str,
    condition: str,
    *,
    use: FeatureSpec | None,
    batches: str | None,
) -> Examples:
    locations, targets = read_targets(stage, table.shards, task, labels, condition)
    if not len(targets):
        raise SourceError(f"no row is left for the {name} set of {stage.source.title}")
    unlabelled = count(stage.con, f"{stage.name} WHERE key IS NOT NULL AND label IS NULL AND {condition}")
    counts, span = _counts(targets, labels), None
    if task is REGRESSION:
        span = float(targets.min()), float(targets.max())
    summary = SetSummary(name, len(targets), counts, span, unlabelled, stage.rejected)
    if name == "train":
        _require_all(stage, summary)
    return Examples(
        PlannedFeatures(table.shards, table.spec, locations, batches=batches, use=use), targets, summary
    )


def _counts(targets: np.ndarray, labels: Labels) -> dict[str, int]:
    if not len(labels):
        return {}
    counts = (
        np.bincount(targets, minlength=len(labels))
        if targets.ndim == 1
        else targets.sum(0, dtype=np.float64).astype(int)
    )
    return dict(zip(map(str, labels.values), counts.tolist(), strict=True))


def _require_all(stage: Stage, summary: SetSummary) -> None:
    """Raise LabelError where the training rows leave something nothing can be learned about."""
    if summary.span and summary.span[0] == summary.span[1]:
        raise LabelError(
            f"all training rows of {stage.source.title} have the label {summary.span[0]:g}; there is nothing to learn"
        )
    empty = [value for value, rows in summary.counts.items() if not rows]
    if empty:
        raise LabelError(
            f"no training row is left with label {listing(empty)}; is the label column right, or --valid-fraction too large?"
        )


def _fingerprint(stage: Stage) -> str:
    return stage.con.sql(plan.fingerprint_sql(stage.name)).fetchall()[0][0]
