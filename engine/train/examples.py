"""What heads are trained on: rows with features and targets, which are read once for any number of heads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Required, TypedDict

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, FeatureTable, Source, SourceError, plan
from ...store.duck import workspace
from ...store.lookup import look_up
from ...store.required import require_features
from ...store.sides import encoded_texts, locations_of_rows
from ...store.stage import Stage, stage_source
from ..heads.labels import Labels
from ..heads.targets import detect_task, labels_of, read_targets
from ..heads.tasks import Task
from ..pairs.combination import Combination, combination_of
from ..pairs.served import PairFeatures
from ..words.texts import Texts
from .row_texts import read_texts
from .served import Features, Serve, require_alike, serving
from .summary import SetSummary, require_something_to_learn, summary_of
from .validation import Fraction, Validation, require_validation

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Examples:
    """Features and targets (see :func:`engine.heads.targets.read_targets`) of the same rows."""

    features: Features
    targets: np.ndarray
    summary: SetSummary
    source_rows: pa.Table | None = None
    """Where each row stands: ``source`` (the file) and ``row`` in the file, from 1; None without folds."""
    texts: Texts | None = None
    """The rows' texts, where they were asked for."""

    @cached_property
    def scaling(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """The features' :func:`engine.train.scaling.feature_scaling`, computed once for all heads."""
        from .scaling import feature_scaling  # which loads torch

        return feature_scaling(self.features)

    @cached_property
    def token_counts(self) -> np.ndarray:
        """Tokens of each row of token features, int64 [rows], at least 1."""
        from .token_rows import counts_of_tokens  # which loads torch

        return counts_of_tokens(self.features)

    def subset(self, rows: np.ndarray) -> "Examples":
        """Some of the rows (int64 positions), in the order given; the summary stays that of all."""
        texts = None if self.texts is None else self.texts.take(rows)
        return replace(self, features=self.features.part(rows=rows), targets=self.targets[rows], texts=texts)


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
    test: Examples | None = None
    """Rows on which the head that is kept is judged in the end, once."""
    record: dict[str, Any] = field(default_factory=dict)
    """Where the rows came from: sources, their fingerprints, label columns, Delta version."""

    @property
    def combination(self) -> Combination | None:
        """What is made of the features of pairs whose texts are encoded apart."""
        features = self.train.features
        return features.combination if isinstance(features, PairFeatures) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what a head takes of a row."""
        return self.train.features.shape

    @property
    def outputs(self) -> int:
        """How many outputs a head needs."""
        return len(self.labels) if self.task.has_classes else 1

    def using(self, use: FeatureSpec, combine: str | None = None) -> "TrainData":
        """The same rows, with these parts of their features; ``combine`` names some of what is combined."""
        if use == self.spec and combine is None:
            return self
        train = replace(self.train, features=self.train.features.part(use))
        if isinstance(train.features, PairFeatures):
            features = train.features
            if combine is not None:
                features = features.combined_by(features.combination.selected(combine))
            train = replace(train, features=features.fitted())
        valid = train if self.valid is self.train else _served_alike(self.valid, use, train.features)
        test = self.test and _served_alike(self.test, use, train.features)
        return replace(self, spec=use, train=train, valid=valid, test=test)


def _served_alike(examples: Examples, use: FeatureSpec, trained: Features) -> Examples:
    """The examples with these parts of their features, and pairs combined as those of training."""
    features = examples.features.part(use)
    if isinstance(features, PairFeatures) and isinstance(trained, PairFeatures):
        features = features.combined_by(trained.combination)
    return replace(examples, features=features)


class RowOptions(TypedDict, total=False):
    """Which rows to train and to validate on, and what of them, as :func:`load_examples` takes it."""

    valid: Required[Validation]
    test: Source | None
    """Rows that nothing is chosen by: the head that is kept is judged on them in the end."""
    label_column: str | Sequence[str]
    task: str | None
    """One of :data:`engine.heads.tasks.TASKS`; unless given, it follows from the label columns."""
    use: FeatureSpec | None
    batches: str | None
    """One of :data:`store.batches.MODES`; chosen by the available memory unless given."""
    combine: Combination | str | Sequence[str] | None
    """What a head sees of pairs whose texts are encoded apart: names of
    :data:`engine.pairs.combination.NAMES`; what suits the features unless given.
    """
    texts: bool
    """Whether to keep the texts of the rows, too."""


def load_examples(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    valid: Validation,
    test: Source | None = None,
    label_column: str | Sequence[str] = "label",
    task: str | None = None,
    use: FeatureSpec | None = None,
    batches: str | None = None,
    combine: Combination | str | Sequence[str] | None = None,
    texts: bool = False,
    seed: int = 42,
) -> TrainData:
    """Read labels and splits from the sources, and plan the features of their rows.

    The rows to validate on are those of another source, or of a Fraction of the training texts that
    ``seed`` chooses. With Folds they are the training rows themselves, and tell where they stand in the
    source. ``test`` holds rows for the head that is kept in the end. ``use`` is the setting of a part of the
    table's features (:meth:`FeatureSpec.select`). Raises MissingFeatures where texts were not encoded,
    LabelError for labels that the task cannot take, SpecError for parts that are not there. For ``combine``
    see :class:`RowOptions`.
    """
    require_validation(valid)
    require_alike(train, (valid, test), combine)
    table = FeatureTable.of(table)
    if use is not None and not table.spec.covers(use):
        table.require(use)
    combination = None
    if train.is_separate:
        is_made = isinstance(combine, Combination)
        combination = combine if is_made else combination_of(combine, use or table.spec)
        combination.require(use or table.spec)
    serve = serving(table, use, batches, combination)
    with workspace() as con:
        staged = stage_source(con, train, "train", label_column=label_column, keep_text=texts)
        kind = detect_task(staged, task)
        labels = labels_of(staged, kind)

        def examples(stage: Stage, name: str, chosen: np.ndarray) -> Examples:
            locations = locations_of_rows(stage, found[stage.name])
            served = _examples(stage, locations, kind, labels, name, chosen, serve)
            return replace(served, texts=read_texts(stage, chosen)) if texts else served

        stages = [staged]
        for name, source in (("valid", valid), ("test", test)):
            if isinstance(source, Source):
                stages.append(stage_source(con, source, name, label_column=label_column, keep_text=texts))
        lookups = [(stage, look_up(encoded_texts(stage), table.shards)) for stage in stages]
        require_features(table, lookups)
        found = {stage.name: lookup.locations for stage, lookup in lookups}
        del lookups  # and with them a byte for each row
        if isinstance(valid, Source):
            train_rows = examples(staged, "train", staged.rows_where("true"))
            valid_rows = examples(stages[1], "valid", stages[1].rows_where("true"))
        elif isinstance(valid, Fraction):
            held_out = staged.rows_where(plan.held_out_sql(valid.share, seed))
            train_rows = examples(staged, "train", staged.rows_where("true") & ~held_out)
            valid_rows = examples(staged, "valid", held_out)
        else:
            places = staged.labelled_rows()
            train_rows = valid_rows = replace(
                examples(staged, "train", staged.rows_where("true")), source_rows=places
            )
        tested = examples(stages[-1], "test", stages[-1].rows_where("true")) if test else None
        return TrainData(
            task=kind,
            labels=labels,
            spec=use or table.spec,
            train=train_rows,
            valid=valid_rows,
            feature_set=table.name,
            text_column=staged.text_column,
            pair_column=staged.pair_column,
            test=tested,
            record={
                "train": train.title,
                **({"test": test.title} if test else {}),
                "valid": valid.title if isinstance(valid, Source) else str(valid),
                "fingerprints": {stage.name: _fingerprint(stage) for stage in stages},
                "label_columns": list(staged.label_columns),
                "delta_version": table.version,
                "feature_set_digest": table.spec.digest,
            },
        )


def _examples(
    stage: Stage,
    locations: np.ndarray,
    task: Task,
    labels: Labels,
    name: str,
    chosen: np.ndarray,
    serve: Serve,
) -> Examples:
    locations, targets = read_targets(stage, locations, task, labels, chosen)
    if not len(targets):
        raise SourceError(f"no row is left for the {name} set of {stage.source.title}")
    unlabelled = int(np.count_nonzero(chosen & stage.rows_where("label IS NULL")))
    summary = summary_of(targets, task, labels, name, unlabelled=unlabelled, rejected=stage.rejected)
    if name == "train":
        require_something_to_learn(summary, stage.source.title)
    served = chosen & stage.rows_where("label IS NOT NULL")
    return Examples(serve(stage, served, locations), targets, summary)


def _fingerprint(stage: Stage) -> str:
    return stage.con.sql(plan.fingerprint_sql(stage.name)).fetchall()[0][0]
