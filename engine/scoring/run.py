"""Files of rows in, Parquet files of the same rows with predictions out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb

from ...store import FeatureSpec, Source, Store
from ...store.copying import query_as_file
from ...store.duck import workspace
from ...store.files import sync
from ...store.progress import Progress, hears_progress, tell
from ...store.scratch import scratch_folder
from ...store.stage import Stage, source_columns
from ..backends.load import load_encoder_of
from ..encode.build import Stopwatch
from ..encode.encoder import Encoder
from ..heads.head import Head
from ..runners.team import Workers, team_of
from .added import Added, Threshold
from .division import Division
from .evaluation import Evaluation, Figures
from .jobs import (
    QUERY,
    Job,
    jobs_of,
    rejects_file_of,
    require_output,
    require_parquet_name,
    with_files_of_folders,
)
from .parquet_input import ParquetInput, facts_of
from .row_features import RowFeatures, RowOutputs
from .rows import Rows, output_names
from .scorer import Scorer
from .settings import settings_of
from .tables import Features, Group, source_for
from .tally import Tally
from .unfinished import OtherRun, Unfinished, folder_of
from .urls import local_output
from .writing import Writing


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


@hears_progress
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
    asked_of_encoder: Mapping[str, Any] | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
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

    What an interrupted run finished lies beside the output (:mod:`engine.scoring.unfinished`), and the same
    call goes on with it: the outputs are, byte for byte, those of a run without interruption. Another call
    for that output raises OtherRun, unless it may ``overwrite``. An ``output`` that is a URL is put there at
    the end (:mod:`engine.scoring.urls`). ``asked_of_encoder`` is what ``load`` was
    asked for, and must be the same, too. ``say`` is told what is gone on with.

    With ``workers``, other processes encode the new texts and compute what the heads give, and this one
    reads and writes (:mod:`engine.scoring.division`). They load encoders as ``asked_of_encoder`` says:
    ``model``, ``backend``, ``precision``, ``device``. Predictions are those of one process, up to the last
    bits of features that are encoded in other batches.
    """
    by_prefix = {column_prefix: heads} if isinstance(heads, Head) else dict(heads)
    added = [
        Added(head, prefix, proba=proba, top_k=top_k, threshold=threshold)
        for prefix, head in by_prefix.items()
    ]
    require_parquet_name(output)
    source = with_files_of_folders(source_for(by_prefix, source, text_column, pair_column))
    clock, say = Stopwatch(), say or (lambda _: None)
    with local_output(output, overwrite=overwrite) as local, clock("total"):
        output, overwrite = local.path, overwrite or local.is_copied
        is_new = not folder_of(output).exists()
        jobs = jobs_of(source, output, overwrite=overwrite or not is_new)
        if is_new:
            require_output(rejects_file_of(output), overwrite=overwrite)
        asked = {name: value for name, value in (asked_of_encoder or {}).items() if value is not None}
        with Unfinished(output) as kept, team_of(workers, asked.get("device"), say) as team:
            division = None if team is None else Division(team, kept, asked)
            options = {
                "columns": columns, "proba": proba, "top-k": top_k, "threshold": threshold,
                "label column": label_column, "store": str(Store(store).path.absolute()) if store else None,
                "cache": cache, "encoder": asked_of_encoder,
            }  # fmt: skip
            settings = settings_of(source, jobs, by_prefix, options)
            kept.begin(settings, overwrite=overwrite, say=say)
            run = _Run(
                source, jobs, output, added, columns, label_column, overwrite, clock, kept, settings, division
            )
            features = Features(
                by_prefix,
                Store(store) if store else None,
                cache,
                kept.folder,
                load or load_encoder_of,
                kept,
                division.encode if division else None,
            )
            try:
                summary = run.summary(features)
            except OtherRun as other:
                if not overwrite:
                    raise
                say(f"{other}; it is begun anew")
                kept.clear()
                kept.begin(settings, overwrite=True, say=say)
                summary = run.summary(features)
            kept.remove()
    named = local.named(summary.rejects_file, summary.outputs)
    return replace(summary, seconds=clock.rounded(), rejects_file=named[0], outputs=named[1])


@dataclass
class _Run:
    """One way from the rows to the outputs; what was finished before is left out of it."""

    source: Source
    jobs: list[Job]
    output: str | Path
    added: list[Added]
    columns: Sequence[str] | None
    label_column: str | Sequence[str] | None
    overwrite: bool
    clock: Stopwatch
    kept: Unfinished
    settings: Mapping[str, Any]
    division: Division | None

    def summary(self, features: Features) -> ScoreSummary:
        """Run; the summary is without the seconds."""
        kept, clock, fields = self.kept, self.clock, [one for each in self.added for one in each.fields()]
        self._require_outputs()
        with ExitStack() as scope:
            con = scope.enter_context(workspace())
            scratch = Path(scope.enter_context(scratch_folder()))
            source, jobs, is_query = self.source, self.jobs, bool(self.source.query)
            if is_query:
                with clock("stage"):
                    source = self._query_as_file(con)
                jobs = [replace(job, inputs=source.names) for job in jobs]
            facts = {file: facts_of(file) for file in source.files()}
            opened = {
                file: ParquetInput(file) for file in source.files() if source.format_of(file) == "parquet"
            }
            for one in opened.values():
                scope.callback(one.close)  # also where the rows are never read
            for job in jobs:
                output_names(_names(con, source, opened, job.inputs[0]), self.columns, fields, job.inputs[0])
            stage, groups, counts = features.located(con, source, self.label_column, clock)
            if is_query:
                stage.name_file(0, QUERY)
            with clock("stage"):
                rows = scope.enter_context(Rows.of(stage, opened, facts, scratch))
            schemas = [rows.schema(job, self.columns, fields) for job in jobs]
            rows_of = self._rows_of(stage, groups)
            group_of = {prefix: group for group in groups for prefix in group.heads}
            metrics = {}
            if self.label_column is not None:  # before anything is written: a label may be unknown
                with clock("evaluate"):
                    metrics = {
                        one.column: Evaluation(stage, one, group_of[one.prefix], rows_of(one)).figures()
                        for one in self.added
                    }
            with clock("score"):
                scorers = [Scorer(one, rows_of(one)(), group_of[one.prefix].spec) for one in self.added]
                counted = _counter(stage.rows)
                total = Tally.sum(
                    [
                        Writing(number, job, schema, rows, scorers, kept, counted).run()
                        for number, (job, schema) in enumerate(zip(jobs, schemas, strict=True))
                    ]
                )
            kept.note("rejects", True)
            rejects_path = rejects_file_of(self.output)
            rejects_file = stage.write_rejects(rejects_path)
            if rejects_file is None:
                rejects_path.unlink(missing_ok=True)  # of an earlier run
            return ScoreSummary(
                rows=total.rows,
                scored=total.scored,
                rejected=stage.rejected,
                rejects=stage.reasons(),
                rejects_file=str(rejects_file) if rejects_file else None,
                cached=counts.cached,
                encoded=counts.encoded,
                predictions={
                    one.column: dict(zip(map(str, one.head.labels.values), numbers.tolist(), strict=True))
                    for one, numbers in zip(self.added, total.labels, strict=True)
                },
                seconds={},
                outputs=[str(job.output) for job in jobs],
                metrics=metrics,
            )

    def _rows_of(self, stage: Stage, groups: Sequence[Group]) -> Callable[[Added], Callable[[], RowOutputs]]:
        """What makes, of what a head adds, a function that gives the head's outputs on the stage's rows."""
        division, heads = self.division, {one.prefix: one.head for one in self.added}
        if division is None:
            group_of = {prefix: group for group in groups for prefix in group.heads}
            return lambda one: partial(RowFeatures, one.head, group_of[one.prefix], stage)
        computed = cache(lambda: division.rows(stage, groups, heads, self.settings))
        return lambda one: lambda: computed()[one.prefix]

    def _require_outputs(self) -> None:
        """Raise SourceError for what may not be overwritten, unless this run, interrupted, wrote it."""
        for number, job in enumerate(self.jobs):
            if not self.kept.is_placed(number, job.output):
                require_output(job.output, overwrite=self.overwrite)
        if self.kept.last("rejects") is None:
            require_output(rejects_file_of(self.output), overwrite=self.overwrite)

    def _query_as_file(self, con: duckdb.DuckDBPyConnection) -> Source:
        """The query's rows, as an interrupted run read them: it may give others the next time."""
        path = self.kept.last("query")
        if path and Path(path).exists():
            return replace(self.source, query=None, paths=(path,), format="parquet")
        source = query_as_file(con, self.source, self.kept.folder)
        sync(source.names[0])
        self.kept.note("query", source.names[0])
        return source


def _counter(total: int) -> Callable[[int], None]:
    """What tells of rows that are scored, in all files together."""
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        tell("scoring", done, total)

    count(0)
    return count


def _names(
    con: duckdb.DuckDBPyConnection, source: Source, opened: Mapping[str, ParquetInput], file: str
) -> list[str]:
    """The columns of an input file."""
    if file in opened:
        return opened[file].schema.names
    return list(source_columns(con, replace(source, paths=(file,))))
