"""The columns that a head adds to the rows it scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ...store import HeadError, LabelError
from ..heads.head import Head
from ..heads.labels import listing
from ..heads.tasks import MULTI_LABEL, SINGLE_LABEL

Threshold = float | Mapping[Any, float]
"""A probability, of all labels or by label."""


@dataclass(frozen=True)
class Added:
    """What a head adds: ``prediction`` and ``score``, and on request probabilities and the best labels.

    A prediction of a single label is the most probable one. With one threshold it is null where its
    probability is not above the threshold. With thresholds by label, a label that is named is predicted
    where its probability is above its threshold (of several, the one that is furthest above), and else the
    most probable one of the labels that are not named. Several labels are those above their thresholds,
    or above a half. Raises HeadError or LabelError for what the head cannot do.
    """

    head: Head
    prefix: str = ""
    """Put before the names of the columns."""
    proba: bool = False
    """Whether to add a column of probabilities for each label."""
    top_k: int = 0
    """Add lists of so many labels and of their probabilities, the most probable first."""
    threshold: Threshold | None = None
    _thresholds: np.ndarray | None = field(init=False, default=None)
    """float32 [labels]; NaN for a label that is not named."""

    def __post_init__(self) -> None:
        task, labels = self.head.task, self.head.labels
        if not task.has_classes and (self.proba or self.top_k or self.threshold is not None):
            raise HeadError("a regression has no probabilities; leave out --proba, --top-k and --threshold")
        if self.top_k > len(labels):
            raise HeadError(f"--top-k {self.top_k}: the head has {len(labels)} labels")
        if self.threshold is None:
            return
        given = self.threshold.values() if isinstance(self.threshold, Mapping) else [self.threshold]
        if not given or not all(0 <= value <= 1 for value in given):
            raise LabelError("a threshold is a probability from 0 to 1, or label=probability,…")
        values = np.full(len(labels), np.nan, np.float32)
        if isinstance(self.threshold, Mapping):
            for label, value in self.threshold.items():
                number = labels.number(str(label))
                if number is None:
                    raise LabelError(
                        f"a threshold is given for label '{label}'; the labels are: {listing(labels.values)}"
                    )
                values[number] = value
        else:
            values[:] = self.threshold
        object.__setattr__(self, "_thresholds", values)

    @property
    def column(self) -> str:
        """Name of the column of the predictions."""
        return f"{self.prefix}prediction"

    def fields(self) -> list[pa.Field]:
        """The columns' names and types."""
        several, label_type = self.head.task is MULTI_LABEL, self._label_type
        fields = [pa.field(self.column, pa.list_(label_type) if several else label_type)]
        if self.head.task.has_classes:
            score = pa.list_(pa.float32()) if several else pa.float32()
            fields.append(pa.field(f"{self.prefix}score", score))
        if self.top_k:
            fields.append(pa.field(f"{self.prefix}top_labels", pa.list_(label_type)))
            fields.append(pa.field(f"{self.prefix}top_scores", pa.list_(pa.float32())))
        if self.proba:
            names = [f"{self.prefix}proba_{label}" for label in self.head.labels.values]
            fields += [pa.field(name, pa.float32()) for name in names]
        return fields

    @property
    def _label_type(self) -> pa.DataType:
        return self.head.labels.arrow().type if self.head.task.has_classes else pa.float32()

    def columns(self, outputs: np.ndarray, decided: np.ndarray) -> list[pa.Array]:
        """The columns of some rows, from the head's outputs float32 [rows, outputs], and :meth:`decide` of
        these.
        """
        columns = [self.head.named(decided)]
        if self.head.task is MULTI_LABEL:
            columns.append(pa.ListArray.from_arrays(columns[0].offsets, pa.array(outputs[decided > 0])))
        elif self.head.task is SINGLE_LABEL:
            best = outputs[np.arange(len(outputs)), np.maximum(decided, 0)]
            columns.append(pa.array(best, pa.float32(), mask=decided < 0))
        if self.top_k:
            columns += self._top(outputs)
        if self.proba:
            columns += [pa.array(np.ascontiguousarray(column), pa.float32()) for column in outputs.T]
        return columns

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions in the form of the task's targets; -1 where no single label is sure enough."""
        thresholds = self._thresholds
        if thresholds is None:
            return self.head.task.decide(outputs)
        if self.head.task is MULTI_LABEL:
            return (outputs > np.where(np.isnan(thresholds), np.float32(0.5), thresholds)).astype(np.float32)
        if not isinstance(self.threshold, Mapping):
            return np.where(outputs.max(1, initial=0) > thresholds[0], outputs.argmax(1), -1)
        named = ~np.isnan(thresholds)
        above = np.where(outputs > thresholds, outputs - thresholds, -np.inf)  # nothing is above NaN
        others = np.where(named, -np.inf, outputs)
        otherwise = np.where(named.all(), -1, others.argmax(1))
        return np.where(np.isfinite(above).any(1), above.argmax(1), otherwise)

    def counts(self, decided: np.ndarray) -> np.ndarray:
        """Rows by predicted label, int64 [labels]; empty for a regression."""
        if not self.head.task.has_classes:
            return np.zeros(0, np.int64)
        if self.head.task is MULTI_LABEL:
            return decided.sum(0, dtype=np.float64).astype(np.int64)
        return np.bincount(decided[decided >= 0], minlength=len(self.head.labels))

    def _top(self, outputs: np.ndarray) -> Sequence[pa.Array]:
        best = np.argsort(-outputs, axis=1, kind="stable")[:, : self.top_k]
        offsets = pa.array(np.arange(0, best.size + 1, self.top_k, dtype=np.int32))
        labels = self.head.labels.arrow().take(pa.array(best.ravel()))
        scores = np.take_along_axis(outputs, best, 1).ravel()
        return pa.ListArray.from_arrays(offsets, labels), pa.ListArray.from_arrays(offsets, pa.array(scores))
