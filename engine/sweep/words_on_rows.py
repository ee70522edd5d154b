"""Words of the rows that a head was trained on: a linear model on them, and how good it is by itself."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from ...store import FeatureTable, HeadError, Source, SourceError
from ..heads.head import Head
from ..heads.metrics import Predicted, compute, metric_names
from ..heads.tasks import Task
from ..train.config import TrainConfig
from ..train.examples import Examples, RowOptions, TrainData, load_examples
from ..train.judging import Loss, make_loss
from ..train.solve_config import SolveConfig
from ..train.threads import one_thread
from ..train.validation import Folds, Validation
from ..words.joining import Joining, fit_joining
from ..words.model import FittedWords, fit_words
from ..words.settings import WordSettings
from ..words.sparse_lbfgs import Goal
from .folds import fold_of_rows, mean_or_none

FOLDS = 5
"""Of the training rows, where no other number of folds was asked for."""


class WordsOnRows:
    """The words of a head's training rows: a linear model on them, and figures of it on the head's own rows
    to be judged on.
    """

    def __init__(self, head: Head, data: TrainData, settings: WordSettings, valid: Validation, seed: int):
        self.data, self.is_of_folds, self._settings = data, isinstance(valid, Folds), settings
        self.loss: Loss = make_loss(data, config_of(head))
        texts = data.train.features.locations
        folds = valid.count if isinstance(valid, Folds) else max(2, min(FOLDS, len(np.unique(texts))))
        self.fold_of = fold_of_rows(texts, folds, seed)

    @classmethod
    def load(
        cls,
        head: Head,
        train: Source,
        table: FeatureTable | str | Path,
        *,
        settings: WordSettings,
        seed: int,
        **rows: Unpack[RowOptions],
    ) -> "WordsOnRows":
        """Read the rows that a head was trained on once more, with their texts.

        ``seed`` is the one that chose the rows to validate on, and the folds. Raises SourceError where the
        rows have changed.
        """
        rows["use"] = head.spec if head.spec != FeatureTable.of(table).spec else None
        if train.is_separate:
            rows["combine"] = head.combination  # the one of those tried that was kept
        data = load_examples(train, table, seed=seed, **{**rows, "texts": True})
        if data.record["fingerprints"] != head.record["fingerprints"]:
            raise SourceError(f"{train.title} changed while the head was trained; run this again")
        return cls(head, data, settings, rows["valid"], seed)

    @cached_property
    def fitted(self) -> FittedWords:
        """The linear model of the words, its strength chosen on the folds."""
        texts = self.data.train.texts
        assert texts is not None
        with one_thread():  # each step is over within a millisecond
            return fit_words(texts, self._goal(), self._settings, self.fold_of)

    def _goal(self) -> Goal:
        return goal_of(self.data.task, self.data.outputs, self.data.train.targets, self.loss)

    def joining(self, of_head: np.ndarray, rows: np.ndarray | slice) -> Joining:
        """How the head's logits and those of the words are joined best, over some of the training rows."""
        goal = self._goal()
        with one_thread():
            return fit_joining(of_head[rows], self.fitted.out_of_fold[rows], goal.targets[rows], goal.loss)

    def predicted(self, examples: Examples, logits: np.ndarray, rows: np.ndarray | None = None) -> Predicted:
        """Logits of examples, or of those of ``rows``, as predictions beside the truth."""
        targets = examples.targets
        if rows is not None:
            logits, targets = logits[rows], targets[rows]
        return predicted_of(self.data.task, self.loss, targets, logits)

    def figures_of_folds(self, logits: np.ndarray) -> dict[str, float | None]:
        """Means over the folds of the figures of logits of all training rows."""
        names = metric_names(self.data.task, self.data.outputs)
        folds = [np.flatnonzero(self.fold_of == fold) for fold in np.unique(self.fold_of)]
        figures = [compute(names, self.predicted(self.data.train, logits, rows)) for rows in folds]
        return {name: mean_or_none([one[name] for one in figures]) for name in names}

    def alone(self) -> dict[str, float | None]:
        """Figures of the words alone, on the rows that the head is judged on."""
        if self.is_of_folds:
            return self.figures_of_folds(self.fitted.out_of_fold)
        valid = self.data.valid
        assert valid.texts is not None
        names = metric_names(self.data.task, self.data.outputs)
        return compute(names, self.predicted(valid, self.fitted.model.logits(valid.texts)))


def goal_of(task: Task, outputs: int, targets: np.ndarray, loss: Loss) -> Goal:
    """What a linear model on words is fitted to."""
    mean = scale = None
    if not task.has_classes:
        mean, scale = float(np.mean(targets, dtype=np.float64)), float(np.std(targets, dtype=np.float64))
    return Goal(
        targets=targets,
        outputs=outputs,
        # Weights of classes are float32, and torch wants logits of the same.
        loss=lambda logits, target: loss(logits.float(), target).double(),
        is_two_classes=task.name == "single-label" and outputs == 2,
        mean=mean or 0.0,
        scale=scale or 1.0,
    )


def predicted_of(task: Task, loss: Loss, targets: np.ndarray, logits: np.ndarray) -> Predicted:
    """Logits float32 [rows, outputs] as predictions beside the truth."""
    outputs = task.activation(logits)
    mean_loss = float(loss(torch.from_numpy(logits), torch.from_numpy(targets)).mean())
    return Predicted(task, logits.shape[1], mean_loss, targets, task.decide(outputs), outputs)


def config_of(head: Head) -> TrainConfig | SolveConfig:
    """The configuration that a head was trained with. Raises HeadError for one that was not trained here."""
    config: Mapping[str, Any] | None = head.record.get("config")
    if config is None:
        raise HeadError("words join a head that was trained by enc; this one has no record of its training")
    if "l2" in config:
        return SolveConfig(**{**config, "l2": (head.record["l2"],)})
    return TrainConfig(**config)
