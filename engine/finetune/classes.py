"""What is predicted in fine-tuning: classes with the numbers that the model gives them, or values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...store import LabelError, plan
from ...store.nearest import did_you_mean
from ...store.stage import Stage
from ..heads.labels import Labels, distinct_labels, first_place, listing
from ..heads.metrics import Predicted
from ..heads.targets import refuse_rows
from ..heads.tasks import REGRESSION, SINGLE_LABEL, Task
from .glue import GlueTask
from .glue_metrics import glue_metrics

_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")


@dataclass(frozen=True)
class Classes:
    """What is predicted: class numbers, or the values of a regression."""

    task: Task
    names: tuple[str, ...]
    """Names of the classes, in the model's order; a regression has none."""
    labels: Labels
    """The user's label of each class, in the type that it has in the file."""
    numbers: dict[str, int]
    """Class number by a way of writing a label that is not the label itself."""
    metrics: tuple[str, ...]
    """Metrics by GLUE's names."""
    combined: bool = True
    """Whether two metrics also give their mean."""

    @property
    def best_metric(self) -> str:
        """The metric that chooses the best checkpoint, unless the options name another."""
        return "combined_score" if self.combined and len(self.metrics) > 1 else next(iter(self.metrics))

    def number(self, raw: str) -> int | None:
        """Class number of a label as it stands in a file; None if it is none of them."""
        if raw.strip() in self.numbers:
            return self.numbers[raw.strip()]
        return self.labels.number(raw)

    def computed(self, logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """The metrics of logits [rows, outputs]."""
        decided = logits.argmax(-1) if self.names else logits.reshape(-1)
        found = glue_metrics(self.metrics, Predicted(self.task, len(self.names) or 1, 0.0, targets, decided))
        if not self.combined:
            found.pop("combined_score", None)
        return found

    def ordered(self, names: Sequence[str]) -> "Classes":
        """The classes in the order of ``names``, those of a model; unchanged where they are others."""
        if not self.names or sorted(names) != sorted(self.names):
            return self
        old_numbers = [self.names.index(name) for name in names]
        new_numbers = {old: new for new, old in enumerate(old_numbers)}
        values: Any = self.labels.values
        labels: Any = tuple(values[old] for old in old_numbers)
        return replace(
            self,
            names=tuple(names),
            labels=Labels(labels),
            numbers={raw: new_numbers[old] for raw, old in self.numbers.items()},
        )


def glue_classes(glue: GlueTask) -> Classes:
    """A task's classes; a label may be written as in the task's files, by its name, or as its number."""
    numbers = {str(number): number for number in range(len(glue.labels))}
    for texts in (glue.written, glue.labels):
        numbers |= {raw: number for number, raw in enumerate(texts)}
    task = SINGLE_LABEL if glue.labels else REGRESSION
    return Classes(task, glue.labels, Labels(glue.labels), numbers, glue.metrics)


def own_classes(stages: dict[str, Stage], model_labels: Sequence[str]) -> Classes:
    """The classes of the training rows, or of the model where nothing is trained.

    Labels with fractions make it a regression. Raises LabelError where neither names any classes.
    """
    stage = stages.get("train")
    if stage is None or not stage.label_columns:
        if len(model_labels) == 1:
            return _own_regression()
        if not model_labels:
            raise LabelError(
                "the model does not name its classes, and nothing is trained; pass --task_name, or --do_train"
            )
        return Classes(SINGLE_LABEL, tuple(model_labels), Labels(tuple(model_labels)), {}, ("accuracy",))
    if (stage.label_type or "").split("(")[0] in _FLOATS or (not stage.typed and _are_fractions(stage)):
        return _own_regression()
    labels = Labels.of(stage)
    metrics = ("accuracy", "f1") if len(labels) == 2 else ("accuracy",)
    return Classes(SINGLE_LABEL, tuple(map(str, labels.values)), labels, {}, metrics, combined=False)


def _own_regression() -> Classes:
    return Classes(REGRESSION, (), Labels(()), {}, ("mse", "pearson", "spearmanr"), combined=False)


def _are_fractions(stage: Stage) -> bool:
    number = "TRY_CAST(label AS DOUBLE)"
    texts, fractions = stage.con.sql(
        f"SELECT count(*) FILTER ({number} IS NULL), count(*) FILTER ({number} <> floor({number})) "
        f"FROM {stage.name} WHERE key IS NOT NULL AND label IS NOT NULL"
    ).fetchall()[0]
    return not texts and fractions > 0


def targets_of(stage: Stage, labels: Any, classes: Classes) -> np.ndarray:
    """Class numbers int64 [rows], or float32 [rows] for a regression."""
    if classes.task is REGRESSION:
        refuse_rows(
            stage,
            "coalesce(NOT isfinite(TRY_CAST(label AS FLOAT)), true)",
            "is no number that a regression can learn",
        )
        return labels.cast("float64").to_numpy().astype(np.float32)
    numbers = {raw: classes.number(raw) for raw in distinct_labels(stage)}
    for raw, number in numbers.items():
        if number is None:
            where = first_place(stage, f"label = {plan.literal(raw)}")
            raise LabelError(
                f"unknown label '{raw}' in {where}; the classes are: {listing(classes.names)}"
                f"{did_you_mean(raw, classes.names)}"
            )
    encoded = labels.combine_chunks().dictionary_encode()
    table = np.array([numbers[raw] for raw in encoded.dictionary.to_pylist()], np.int64)
    return table[encoded.indices.to_numpy()]
