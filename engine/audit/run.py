"""From labelled rows to the ones that someone should look at again."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...store import FeatureSpec, FeatureTable, Source, SourceError, plan
from ...store.copying import query_as_file
from ...store.duck import workspace
from ...store.files import replaced_file
from ...store.lookup import look_up
from ...store.progress import Progress, hears_progress, tell
from ...store.required import require_features
from ...store.scratch import scratch_folder
from ...store.sides import encoded_texts
from ...store.stage import Stage, stage_source
from ..encode.build import Stopwatch
from ..heads.metrics import Predicted, compute
from ..heads.tasks import REGRESSION
from ..pairs.combination import Combination
from ..pairs.served import PairFeatures
from ..scoring.jobs import require_output
from ..train.examples import TrainData, load_examples
from ..train.ranges import Range
from ..train.scaling import feature_scaling
from ..train.served import Features
from ..train.solve_config import SolveConfig
from ..train.validation import Folds
from .confident import Confidence
from .findings import AuditedSet, Findings
from .held_out import (
    WithAndWithout,
    held_out_outputs,
    outputs_of,
    with_and_without,
    with_and_without_by_folds,
)
from .same_texts import text_hashes
from .similar import Similar, Vectors, similar_rows

NEAREST = 10
"""Rows that tell how close a row is to the others."""
_SIMILARITY = Range(-1, 1, "a cosine from -1 to 1")
_QUERY = "the query"


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    rows: dict[str, int]
    """Labelled rows by set, ``train`` and ``valid``."""
    counts: dict[str, dict[str, int]]
    """Rows by reason (:data:`engine.audit.findings.REASONS`) and set."""
    folds: int
    l2: float
    """Of the heads that did not see the rows."""
    metric: str
    """The task's."""
    of_all: float | None
    """The metric of these heads on all training rows."""
    of_undoubted: float | None
    """On those whose label is not doubtful. It flatters: labels are doubtful where these heads are wrong."""
    not_judged: int
    """Training rows whose label no row of the other folds has."""
    difference: WithAndWithout
    """What leaving out the doubtful rows from training does."""
    table: pa.Table
    """The rows with a reason; see :func:`audit`."""
    output: str | None = None
    seconds: float = 0.0

    def table_of(self, reason: str) -> pa.Table:
        """The rows with a reason, the worst first."""
        found = self.table.column("reasons").combine_chunks()
        rows = pc.list_parent_indices(found).filter(pc.equal(found.flatten(), reason))  # type: ignore[attr-defined]
        return self.table.take(rows)

    def rows_with(self, reason: str) -> int:
        """How many rows have a reason."""
        return sum(self.counts[reason].values())


@hears_progress
def audit(
    train: Source,
    table: FeatureTable | str | Path,
    *,
    valid: Source | None = None,
    label_column: str | Sequence[str] = "label",
    task: str | None = None,
    use: FeatureSpec | None = None,
    combine: Combination | str | Sequence[str] | None = None,
    folds: int = 5,
    similarity: float | None = 0.95,
    config: SolveConfig | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Labelled rows whose label is probably wrong, that contradict or repeat others, or that stand alone.

    Labels are judged by linear heads that did not see the row: training rows by ``folds``, validation rows
    by a head of all training rows. Rows are nearly the same from a cosine of ``similarity`` on, of their
    features less the mean of all training rows; None leaves this comparison and the outliers out.

    The table has a row for each such row: ``set``, ``source``, ``row`` (from 1), ``text`` (and ``pair``),
    ``label``, ``reasons`` (of :data:`engine.audit.findings.REASONS`), ``suggested`` and its score, the score
    of the label, and ``like_…`` for the row that it contradicts or is like. ``output`` is a Parquet file for
    it, which appears whole or not at all.
    Raises SourceError for features of tokens, unless ``similarity`` is None, and otherwise as
    :func:`engine.train.examples.load_examples`.
    """
    config, folds = config or SolveConfig(), Folds(folds).count
    if similarity is not None:
        similarity = _SIMILARITY.checked("--similarity", similarity)
    table = FeatureTable.of(table)
    shape = (use or table.spec).shape
    if similarity is not None and len(shape) == 2 and not train.is_separate:
        raise SourceError(
            f"feature set '{table.name}' has a vector for each token, and rows are compared by one vector "
            "each; build one with --pooling mean, or pass --no-similar"
        )
    if output is not None:
        files = [file for source in (train, valid) if source and not source.query for file in source.files()]
        require_output(Path(output), files, overwrite=overwrite)
    clock = Stopwatch()
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        con, scratch = scope.enter_context(workspace()), Path(scope.enter_context(scratch_folder()))
        stages, sources = [], []
        for name, source in (("train", train), ("valid", valid)):
            if source is None:
                continue
            stage, read = _staged(con, source, name, label_column, scratch)
            stages.append(stage)
            sources.append(read)
        require_features(
            table,
            [
                (replace(stage, source=given), look_up(encoded_texts(stage), table.shards))
                for stage, given in zip(stages, [train, valid], strict=False)
                if given is not None
            ],
        )
        data = load_examples(
            sources[0],
            table,
            valid=sources[1] if valid else Folds(folds),
            label_column=label_column,
            task=task,
            use=use,
            combine=combine,
            seed=config.seed,
        )
        for stage in stages:
            _require_unchanged(stage, data)
        found = _audited(data, stages, config, folds, similarity)
        if output is not None:
            with replaced_file(output) as part:
                pq.write_table(found.table, part)
    return replace(found, output=None if output is None else str(output), seconds=clock.rounded()["total"])


def _staged(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    name: str,
    label_column: str | Sequence[str],
    scratch: Path,
) -> tuple[Stage, Source]:
    """A stage with texts, and the source that it was read from: a query may give other rows the next time."""
    read = source
    if source.query:
        folder = scratch / name
        folder.mkdir()
        read = query_as_file(con, source, folder)
    stage = stage_source(con, read, f"texts_{name}", label_column=label_column)
    if source.query:
        stage.name_file(0, _QUERY)
    return stage, read


def _require_unchanged(stage: Stage, data: TrainData) -> None:
    """Raise SourceError where the rows that heads learn from are others than those whose texts were read."""
    found = stage.con.sql(plan.fingerprint_sql(stage.name)).fetchall()[0][0]
    if data.record["fingerprints"][stage.name.removeprefix("texts_")] != found:
        raise SourceError(
            f"{stage.source.title} changed while it was read; run this again when it is complete"
        )


def _audited(
    data: TrainData,
    stages: Sequence[Stage],
    config: SolveConfig,
    folds: int,
    similarity: float | None,
) -> Audit:
    held = held_out_outputs(data, config, folds)
    targets, task = data.train.targets, data.task
    confidence = Confidence.of(task, targets, held.outputs)
    doubts = confidence.doubts(targets, held.outputs)
    similar = _compared(data, similarity, len(stages) > 1)
    sets = [AuditedSet("train", stages[0], targets, doubts, held.are_judged, similar[0])]
    wrong = doubts.are_wrong & held.are_judged
    if len(stages) > 1:
        judged = outputs_of(data, config, held.l2, data.valid)
        assert judged.outputs is not None
        theirs = confidence.doubts(judged.targets, judged.outputs)
        everyone = np.ones(len(judged.targets), np.bool_)
        sets.append(AuditedSet("valid", stages[1], judged.targets, theirs, everyone, similar[1], similar[2]))
        difference = with_and_without(data, config, held.l2, wrong)
    else:
        difference = with_and_without_by_folds(data, config, held)
    tolerance = float(np.std(targets)) if task is REGRESSION else 0.0
    findings = Findings.of(sets, [text_hashes(stage) for stage in stages], similarity, tolerance)
    return Audit(
        rows={one.name: len(one.targets) for one in sets},
        counts=findings.counts(),
        folds=folds,
        l2=held.l2,
        metric=task.metric,
        of_all=_figure(data, held.outputs, np.ones_like(wrong)),
        of_undoubted=_figure(data, held.outputs, ~wrong),
        not_judged=int((~held.are_judged).sum()),
        difference=difference,
        table=findings.table(data.labels),
    )


def _compared(
    data: TrainData, similarity: float | None, has_valid: bool
) -> tuple[Similar | None, Similar | None, Similar | None]:
    """Training and validation rows to earlier ones of their set, and validation rows to training rows."""
    if similarity is None:
        return None, None, None
    train = _vectors(data.train.features)
    mean = feature_scaling(train)[0].float().flatten()
    rows, judged = Vectors(train, mean), Vectors(_vectors(data.valid.features), mean)
    total, done = rows.rows + 2 * judged.rows * has_valid, 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        tell("comparing", done, total)

    tell("comparing", 0, total)
    own = similar_rows(rows, nearest=NEAREST, progress=count)
    if not has_valid:
        return own, None, None
    theirs = similar_rows(judged, nearest=1, progress=count)
    return own, theirs, similar_rows(judged, rows, nearest=NEAREST, progress=count)


def _vectors(features: Features) -> Features:
    """One vector for each row: of pairs that are encoded apart, both texts' side by side."""
    if isinstance(features, PairFeatures):
        return features.combined_by(Combination(("first", "second")))
    return features


def _figure(data: TrainData, outputs: np.ndarray, rows: np.ndarray) -> float | None:
    """The task's metric of some rows, bool [rows]."""
    if not rows.any():
        return None
    held = outputs[rows]
    predicted = Predicted(
        data.task, data.outputs, 0.0, data.train.targets[rows], data.task.decide(held), held
    )
    return compute([data.task.metric], predicted)[data.task.metric]
