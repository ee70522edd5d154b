"""Files of rows in, Parquet files of the same rows with predictions out."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, Source, Store
from ...store.duck import workspace
from ...store.files import replaced_file
from ...store.lookup import NOWHERE
from ...store.stage import Stage
from ..backends.load import load_encoder_of
from ..encode.build import Progress, Stopwatch
from ..encode.encoder import Encoder
from ..heads.head import Head
from .added import Added, Threshold
from .evaluation import Evaluation, Figures
from .jobs import Job, jobs_of
from .output import RowGroupWriter
from .rows import Rows
from .tables import Features, Group, source_for

BATCH_ROWS = 65536
BATCH_BYTES = 64 << 20  # of features at a time


@dataclass(frozen=True)
class ScoreSummary:
    """What a run of :func:`score_parquet` did."""

    rows: int
    """Rows read; lines that do not parse are not among them."""
    scored: int
    rejected: int
    """Rows with a null prediction for want of a usable text, and lines that do not parse."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    rejects_file: str | None
    """Parquet file of source, row and reason of each."""
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    predictions: dict[str, dict[str, int]]
    """Rows by predicted label, by the name of the column; a row with several labels counts for each. Empty
    for a regression.
    """
    seconds: dict[str, float]
    outputs: list[str]
    metrics: dict[str, Figures] = field(default_factory=dict)
    """By the name of the column, where the label column was named."""


class _Scorer:
    """A head with its columns, where its features are, and counts of what it predicted."""

    def __init__(self, added: Added, group: Group):
        self.added, self.group = added, group
        self._features = group.features(added.head)
        self.scored = 0
        self._counts = np.zeros(len(added.head.labels), np.int64)

    def columns(self, ids: np.ndarray) -> list[pa.Array]:
        """The added columns of the rows with these ids; null where there are no features."""
        locations = self.group.locations[ids]
        usable = locations != NOWHERE
        outputs = self.added.head.outputs(self._features.take(locations[usable]))
        self.scored += len(outputs)
        self._counts += self.added.counts(outputs)
        columns = self.added.columns(outputs)
        return columns if usable.all() else [_spread(one, usable) for one in columns]

    def predictions(self) -> dict[str, int]:
        """Rows by predicted label."""
        labels = map(str, self.added.head.labels.values)
        return dict(zip(labels, self._counts.tolist(), strict=True))


def score_parquet(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    heads: Head | Mapping[str, Head],
    store: Store | str | Path | None = None,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    columns: Sequence[str] | None = None,
    proba: bool = False,
    top_k: int = 0,
    threshold: Threshold | None = None,
    label_column: str | Sequence[str] | None = None,
    cache: bool = True,
    column_prefix: str = "",
    overwrite: bool = False,
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> ScoreSummary:
    """Write a source's rows with ``prediction`` and ``score`` (and more, see :class:`Added`) as Parquet.

    ``source`` is a file, several, or a Source (any format, a condition, a query). ``output`` is a file, or a
    folder with one file for each input file. Several heads, by the prefix of their columns, share one pass
    over the rows. ``columns`` are the input's columns that are kept, all by default. Texts that the store
    knows are not encoded again; the others are encoded once each and, with ``cache``, added to it. Without
    a store all are encoded, and nothing is kept. Rows without a usable text get nulls, and stand in
    the file of rejects beside the output. ``label_column`` names the truth, and then metrics are computed.
    ``load`` makes the encoder of a setting, and is called only if there is something to encode. An output
    appears whole or not at all. Memory does not grow with the rows but for 9 bytes of each.
    """
    by_prefix = {column_prefix: heads} if isinstance(heads, Head) else dict(heads)
    added = [
        Added(head, prefix, proba=proba, top_k=top_k, threshold=threshold)
        for prefix, head in by_prefix.items()
    ]
    source = source_for(by_prefix, source, text_column, pair_column)
    clock = Stopwatch()
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        jobs = jobs_of(source, output, overwrite=overwrite)
        con = scope.enter_context(workspace())
        scratch = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="enc-")))
        with clock("stage"):
            rows = scope.enter_context(Rows.of(con, source, scratch))
        schemas = [
            rows.schema(job, columns, [one for each in added for one in each.fields()]) for job in jobs
        ]
        features = Features(
            by_prefix, Store(store) if store else None, cache, scratch, load or load_encoder_of, progress
        )
        stage, groups, counts = features.located(con, rows.source, label_column, clock)
        group_of = {prefix: group for group in groups for prefix in group.heads}
        scorers = [_Scorer(one, group_of[one.prefix]) for one in added]
        with clock("score"):
            written = sum(
                _write(job, schema, rows, stage, scorers) for job, schema in zip(jobs, schemas, strict=True)
            )
        rejects_file = stage.write_rejects(_rejects_path(Path(output)))
        metrics = {}
        if label_column is not None:
            with clock("evaluate"):
                metrics = {
                    one.added.column: Evaluation(stage, one.added, one.group).figures() for one in scorers
                }
        reasons = stage.reasons()
    return ScoreSummary(
        rows=written,
        scored=scorers[0].scored,
        rejected=stage.rejected,
        rejects=reasons,
        rejects_file=str(rejects_file) if rejects_file else None,
        cached=counts.cached,
        encoded=counts.encoded,
        predictions={one.added.column: one.predictions() for one in scorers},
        seconds=clock.rounded(),
        outputs=[str(job.output) for job in jobs],
        metrics=metrics,
    )


def _write(job: Job, schema: pa.Schema, rows: Rows, stage: Stage, scorers: Sequence[_Scorer]) -> int:
    """Write one output file; returns its rows."""
    names = [name for name in schema.names if name not in {f.name for s in scorers for f in s.added.fields()}]
    added = [one for scorer in scorers for one in scorer.added.fields()]
    batch_rows = max(1, min(BATCH_ROWS, *(BATCH_BYTES // s.group.spec.row_bytes for s in scorers)))
    written = 0
    with (
        replaced_file(job.output) as part,
        RowGroupWriter(part, schema, rows.compression(job), added) as writer,
    ):
        for batch, ids in rows.batches(job, stage, batch_rows, names):
            columns = [one for scorer in scorers for one in scorer.columns(ids)]
            writer.write(pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema))
            written += batch.num_rows
        rows.require_unchanged(job)
    return written


def _rejects_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.rejects.parquet")


def _spread(values: pa.Array, usable: np.ndarray) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    return values.take(pa.array(np.cumsum(usable) - 1, mask=~usable))
