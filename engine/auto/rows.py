"""The rows that a head is searched for: their texts and labels, read before anything is encoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...store import Source, SourceError
from ...store.duck import workspace
from ...store.stage import stage_source
from ..heads.labels import Labels
from ..heads.targets import detect_task, labels_of, read_targets
from ..heads.tasks import Task
from ..sweep.folds import fold_of_rows
from ..train.examples import TrainData
from ..train.row_texts import read_texts
from ..words.texts import Texts


@dataclass(frozen=True)
class Rows:
    """Labelled rows in the source's order."""

    task: Task
    labels: Labels
    texts: Texts
    targets: np.ndarray
    """See :func:`engine.heads.targets.read_targets`."""
    title: str
    """Of the source."""

    @property
    def outputs(self) -> int:
        """How many outputs a head needs."""
        return len(self.labels) if self.task.has_classes else 1

    def folds(self, count: int, seed: int) -> np.ndarray:
        """Fold int64 [rows] of each row, which the texts, their order and the seed decide.

        Rows of the same text, or of the same two texts in any order, are in one fold. Raises HeadError where
        there are fewer distinct texts than folds.
        """
        return fold_of_rows(numbers_of(self.texts), count, seed)

    def require_same(self, data: TrainData) -> None:
        """Raise SourceError unless the rows of ``data`` are these."""
        if data.task is not self.task or not np.array_equal(data.train.targets, self.targets):
            raise SourceError(f"{self.title} changed while a head was searched for; run this again")


def read_rows(train: Source, label_column: str | Sequence[str], task: str | None) -> Rows:
    """Read the labelled rows of a source with their texts.

    Raises SourceError where none is left, and LabelError for labels that the task cannot take.
    """
    with workspace() as con:
        stage = stage_source(con, train, label_column=label_column)
        kind = detect_task(stage, task)
        labels = labels_of(stage, kind)
        chosen = stage.rows_where("true")
        _, targets = read_targets(stage, np.zeros(stage.ids, np.int64), kind, labels, chosen)
        if not len(targets):
            raise SourceError(f"{train.title} has no row with a label and a usable text")
        return Rows(kind, labels, read_texts(stage, chosen), targets, train.title)


def numbers_of(texts: Texts) -> np.ndarray:
    """Numbers int64 [rows] that rows have in common where their texts are equal, of pairs in any order; they
    count up in the order in which texts first appear.
    """
    rows = len(texts)
    column = pa.chunked_array([chunk for side in texts.sides for chunk in side.chunks], pa.large_string())
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.indices.to_numpy().astype(np.int64)
    if texts.second is None:
        return found
    both = np.sort(np.stack([found[:rows], found[rows:]], 1), axis=1)
    _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
