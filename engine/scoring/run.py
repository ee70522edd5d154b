"""Files of rows in, Parquet files of the same rows with predictions out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, Source, Store
from ...store.copying import query_as_file
from ...store.duck import workspace
from ...store.files import replaced_file
from ...store.prefetch import prefetched
from ...store.scratch import scratch_folder
from ...store.stage import Stage, source_columns
from ..backends.load import load_encoder_of
from ..encode.build import Progress, Stopwatch
from ..encode.encoder import Encoder
from ..heads.head import Head
from .added import Added, Threshold
from .evaluation import Evaluation, Figures
from .jobs import QUERY, Job, jobs_of, rejects_file_of, require_output, with_files_of_folders
from .output import RowGroupWriter
from .parquet_input import ParquetInput, facts_of
from .row_features import RowFeatures
from .rows import Rows, output_names
from .tables import Features, Group, source_for

BATCH_ROWS = 65536
BATCH_BYTES = 64 << 20  # of features in a batch
_CACHE_BYTES = 4 << 20  # of features gathered at a time


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

    def __init__(self, added: Added, group: Group, stage: Stage):
        self.added, self.group = added, group
        self._rows = RowFeatures(added.head, group, stage)
        self.scored = 0
        self._counts = np.zeros(len(added.head.labels), np.int64)

    def columns(self, ids: np.ndarray) -> list[pa.Array]:
        """The added columns of the rows with these ids; null where there are no features."""
        usable = self._rows.are_known(ids)
        outputs = self._outputs(ids[usable])
        self.scored += len(outputs)
        decided = self.added.decide(outputs)
        self._counts += self.added.counts(decided)
        columns = self.added.columns(outputs, decided)
        return columns if usable.all() else [_spread(one, usable) for one in columns]

    def _outputs(self, ids: np.ndarray) -> np.ndarray:
        """The head's outputs float32 [rows, outputs], from as many features at a time as a cache holds."""
        head = self.added.head
        blocks = max(1, _CACHE_BYTES // (head.block_rows * self.group.spec.row_bytes))
        outputs = np.empty((len(ids), head.outputs_count), np.float32)
        for start in range(0, len(ids), blocks * head.block_rows):
            part = slice(start, start + blocks * head.block_rows)
            outputs[part] = self._rows.outputs(ids[part])
        return outputs

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
    appears whole or not at all. Memory grows by about 4 bytes a row of Parquet files (`enc bench scale`), by
    21 of others or with labels, and by 4 for each label where metrics are computed.
    """
    by_prefix = {column_prefix: heads} if isinstance(heads, Head) else dict(heads)
    added = [
        Added(head, prefix, proba=proba, top_k=top_k, threshold=threshold)
        for prefix, head in by_prefix.items()
    ]
    fields = [one for each in added for one in each.fields()]
    source = with_files_of_folders(source_for(by_prefix, source, text_column, pair_column))
    clock = Stopwatch()
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        jobs = jobs_of(source, output, overwrite=overwrite)
        rejects_path = rejects_file_of(output)
        require_output(rejects_path, overwrite=overwrite)
        con = scope.enter_context(workspace())
        scratch = Path(scope.enter_context(scratch_folder()))
        is_query = bool(source.query)
        if is_query:
            with clock("stage"):
                source = query_as_file(con, source, scratch)
                jobs = [replace(job, inputs=source.names) for job in jobs]
        facts = {file: facts_of(file) for file in source.files()}
        opened = {file: ParquetInput(file) for file in source.files() if source.format_of(file) == "parquet"}
        for one in opened.values():
            scope.callback(one.close)  # also where the rows are never read
        for job in jobs:
            output_names(_names(con, source, opened, job.inputs[0]), columns, fields, job.inputs[0])
        features = Features(
            by_prefix, Store(store) if store else None, cache, scratch, load or load_encoder_of, progress
        )
        stage, groups, counts = features.located(con, source, label_column, clock)
        if is_query:
            stage.name_file(0, QUERY)
        with clock("stage"):
            rows = scope.enter_context(Rows.of(stage, opened, facts, scratch))
        schemas = [rows.schema(job, columns, fields) for job in jobs]
        group_of = {prefix: group for group in groups for prefix in group.heads}
        scorers = [_Scorer(one, group_of[one.prefix], stage) for one in added]
        metrics = {}
        if label_column is not None:  # before anything is written: a label may be unknown
            with clock("evaluate"):
                metrics = {
                    one.added.column: Evaluation(stage, one.added, one.group).figures() for one in scorers
                }
        with clock("score"):
            written = sum(
                _write(job, schema, rows, scorers) for job, schema in zip(jobs, schemas, strict=True)
            )
        rejects_file = stage.write_rejects(rejects_path)
        if rejects_file is None:
            rejects_path.unlink(missing_ok=True)  # of an earlier run
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


def _names(
    con: duckdb.DuckDBPyConnection, source: Source, opened: Mapping[str, ParquetInput], file: str
) -> list[str]:
    """The columns of an input file."""
    if file in opened:
        return opened[file].schema.names
    return list(source_columns(con, replace(source, paths=(file,))))


def _write(job: Job, schema: pa.Schema, rows: Rows, scorers: Sequence[_Scorer]) -> int:
    """Write one output file; returns its rows."""
    added = [one for scorer in scorers for one in scorer.added.fields()]
    names = schema.names[: len(schema.names) - len(added)]
    batch_rows = max(1, min(BATCH_ROWS, *(BATCH_BYTES // s.group.spec.row_bytes for s in scorers)))

    def scored() -> Iterator[pa.RecordBatch]:
        with closing(prefetched(rows.batches(job, batch_rows, names), "enc-read")) as batches:
            for batch, ids in batches:
                columns = [one for scorer in scorers for one in scorer.columns(ids)]
                yield pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema)

    written = 0
    with (
        replaced_file(job.output) as part,
        RowGroupWriter(part, schema, rows.compression(job), added) as writer,
        # One thread reads, another one scores, and this one writes.
        closing(prefetched(scored(), "enc-score")) as batches,
    ):
        for batch in batches:
            writer.write(batch)
            written += batch.num_rows
        rows.require_unchanged(job)
    return written


def _spread(values: pa.Array, usable: np.ndarray) -> pa.Array:
    """Values at the usable rows, nulls at the others."""
    return values.take(pa.array(np.cumsum(usable) - 1, mask=~usable))
