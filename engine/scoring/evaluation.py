"""How good a head's predictions are on rows with labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...store import FeatureSpec, Source, SourceError, Store
from ...store.duck import workspace
from ...store.files import replaced_file
from ...store.progress import Progress, hears_progress
from ...store.scratch import scratch_folder
from ...store.stage import Stage
from ..backends.load import load_encoder_of
from ..encode.build import Stopwatch
from ..encode.encoder import Encoder
from ..heads.head import Head
from ..heads.metrics import Predicted, compute, confusion_matrix, metric_names
from ..heads.targets import read_targets
from .added import Added, Threshold
from .jobs import require_output
from .row_features import RowFeatures, RowOutputs
from .tables import Features, Group, source_for

_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Figures:
    """How good predictions are."""

    rows: int
    """Rows with a label and a usable text."""
    predicted: int
    """Rows among them with a prediction: all, unless a threshold left some without one."""
    metrics: dict[str, float | None]
    """Of the rows with a prediction, by name; None where undefined."""
    confusion_matrix: list[Any] | None
    """Of the same rows; see :func:`engine.heads.metrics.confusion_matrix`."""


class Evaluation:
    """A head's outputs on the labelled rows of a stage, beside the truth.

    It holds 4 bytes for each row and label.
    """

    def __init__(
        self, stage: Stage, added: Added, group: Group, rows: Callable[[], RowOutputs] | None = None
    ):
        """``rows`` makes what the head gives for the stage's rows, when the labels are known to be sound.

        Raises LabelError for a label that the head does not know, and SourceError where there is none.
        """
        head = added.head
        self._stage, self._added = stage, added
        labelled = stage.rows_where("label IS NOT NULL")
        locations, self._targets = read_targets(stage, group.locations, head.task, head.labels, labelled)
        if not len(locations):
            raise SourceError(f"{stage.source.title} has no row with a label and a usable text")
        given, ids = rows() if rows else RowFeatures(head, group, stage), np.flatnonzero(labelled)
        starts = range(0, len(ids), _BLOCK_ROWS)
        blocks = (ids[start : start + _BLOCK_ROWS] for start in starts)
        self._outputs = np.concatenate([given.outputs(block) for block in blocks])
        self._decided = added.decide(self._outputs)

    def figures(self) -> Figures:
        """Metrics of the predictions, but for the loss, whose weights are the training's own."""
        task, classes = self._added.head.task, self._outputs.shape[1]
        names = [name for name in metric_names(task, classes) if name != "loss"]
        sure = self._is_decided
        predicted = Predicted(
            task, classes, 0.0, self._targets[sure], self._decided[sure], self._outputs[sure]
        )
        figures = compute(names, predicted) if sure.any() else dict.fromkeys(names)
        matrix = confusion_matrix(predicted)
        return Figures(len(sure), int(sure.sum()), figures, matrix)

    def write_wrong(self, path: str | Path) -> int:
        """Write source, row, label, prediction and score of the rows that are predicted wrongly, worst first.

        The score is the probability of the true label (of several, the least of those that should be there
        and of what is left of those that should not), or minus the distance of a regression; rows without a
        prediction are not among them. Returns how many there are; of a regression all rows.
        """
        head, rows = self._added.head, np.arange(len(self._targets))
        if not head.task.has_classes:
            wrong, scores = rows, -np.abs(self._targets - self._decided)
        elif self._targets.ndim == 1:
            wrong = np.flatnonzero((self._decided != self._targets) & self._is_decided)
            scores = self._outputs[rows, self._targets]
        else:
            wrong = np.flatnonzero((self._decided != self._targets).any(1))
            scores = np.where(self._targets > 0, self._outputs, 1 - self._outputs).min(1)
        wrong = wrong[np.argsort(scores[wrong], kind="stable")]
        places = self._stage.labelled_rows().take(pa.array(wrong))
        columns = {
            "label": head.named(self._targets[wrong]),
            "prediction": head.named(self._decided[wrong]),
            "score": pa.array(scores[wrong], pa.float32()),
        }
        for name, values in columns.items():
            places = places.append_column(name, values)
        with replaced_file(path) as part:
            pq.write_table(places, part)
        return len(wrong)

    @property
    def _is_decided(self) -> np.ndarray:
        """bool [rows]"""
        if self._decided.ndim == 2 or not self._added.head.task.has_classes:
            return np.ones(len(self._decided), np.bool_)
        return self._decided >= 0


@dataclass(frozen=True)
class EvaluationSummary:
    """What a run of :func:`evaluate_head` found."""

    figures: Figures
    rejected: int
    """Rows without a usable text, and lines that do not parse."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    wrong: int | None
    """Rows that are predicted wrongly, where they were asked for."""
    wrong_file: str | None
    seconds: dict[str, float]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ...pages.notebook import piece

        counts = {"rows": self.figures.rows, "rejected": self.rejected}
        return piece("Evaluation", {**self.figures.metrics, **counts})


@hears_progress
def evaluate_head(
    source: Source | str | Path | Sequence[str | Path],
    head: Head,
    store: Store | str | Path | None = None,
    *,
    label_column: str | Sequence[str] | None = None,
    threshold: Threshold | None = None,
    wrong: str | Path | None = None,
    overwrite: bool = False,
    cache: bool = True,
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> EvaluationSummary:
    """Metrics of a head on a source's labelled rows; ``wrong`` is a file for those predicted wrongly.

    A file that is there is replaced only with ``overwrite``. ``label_column`` is by default that of the
    training. For the rest see :func:`engine.scoring.run.score_parquet`. Raises LabelError for a label that
    the head does not know.
    """
    columns = label_column or head.record.get("label_columns")
    if not columns:
        raise SourceError("which column holds the true label? pass --label-column")
    added = Added(head, threshold=threshold)
    source = source_for({"": head}, source)
    if wrong is not None:
        require_output(Path(wrong), [] if source.query else source.files(), overwrite=overwrite)
    clock = Stopwatch()
    with clock("total"), workspace() as con, scratch_folder() as scratch:
        features = Features(
            {"": head},
            Store(store) if store else None,
            cache,
            Path(scratch),
            load or load_encoder_of,
        )
        stage, (group,), counts = features.located(con, source, columns, clock)
        with clock("score"):
            evaluation = Evaluation(stage, added, group)
            figures = evaluation.figures()
            wrong_rows = None if wrong is None else evaluation.write_wrong(wrong)
        return EvaluationSummary(
            figures=figures,
            rejected=stage.rejected,
            rejects=stage.reasons(),
            cached=counts.cached,
            encoded=counts.encoded,
            wrong=wrong_rows,
            wrong_file=None if wrong is None else str(wrong),
            seconds=clock.rounded(),
        )
