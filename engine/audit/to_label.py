"""Which rows to label next: those that a head is least sure of, with some chance.

The rows are sampled among the ten times as many rows whose margin is smallest: the closest alone may be much
alike. Texts that are labelled already are left out, and equal texts count
once.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, HeadError, Source, SourceError, Store
from ...store.copying import query_as_file
from ...store.duck import workspace
from ...store.located import Located
from ...store.nearest import did_you_mean
from ...store.progress import Progress, hears_progress
from ...store.scratch import scratch_folder
from ...store.sides import locations_of_rows
from ...store.stage import Stage, source_columns
from ..backends.load import load_encoder_of
from ..encode.build import Stopwatch
from ..encode.encoder import Encoder
from ..heads.head import Head
from ..heads.tasks import SINGLE_LABEL
from ..scoring.added import Added
from ..scoring.jobs import Job, require_output
from ..scoring.parquet_input import ParquetInput, facts_of
from ..scoring.row_features import RowFeatures
from ..scoring.rows import Rows
from ..scoring.tables import Features, Group, source_for
from ..train.ranges import SEED, whole
from .sheet import require_sheet, write_sheet

_COUNT, _POOL = whole(1, 1_000_000), whole(1, 1000)
_READ_ROWS = 8192


@dataclass(frozen=True)
class ToLabel:
    """What a run of :func:`next_to_label` chose."""

    output: str
    rows: int
    """Rows read."""
    rejected: int
    """Rows without a usable text, and lines that do not parse."""
    labelled: int
    """Distinct texts that were left out, because they are labelled already."""
    candidates: int
    """Distinct texts without a label."""
    chosen: int
    """Rows of the output."""
    labelled_sources: list[str]
    """What counted as labelled, besides rows of the source itself that have a label."""
    label_columns: list[str]
    """The columns to fill in."""
    margins: list[float]
    """The smallest and the largest margin of the chosen rows, and the largest of all candidates."""
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    seconds: dict[str, float]


@hears_progress
def next_to_label(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    head: Head,
    store: Store | str | Path | None = None,
    *,
    count: int,
    labelled: Sequence[Source] | None = None,
    pool: int = 10,
    seed: int = 42,
    columns: Sequence[str] = (),
    overwrite: bool = False,
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> ToLabel:
    """Write ``count`` rows of a source that are worth labelling to a TSV, CSV or Parquet file.

    The margin of a row is the difference of the two highest probabilities, or of several labels the least
    distance of one to a half, doubled. ``seed`` samples among the ``pool`` times ``count`` smallest margins.
    Left out are rows of the source that have a label, in the columns of the head's training, and the texts of
    ``labelled``; unless given, of the head's training rows where these are a file. The output has the columns
    of the training: the text (and the second one of a pair), the label, empty, and then ``prediction``,
    ``score``, ``margin``, and ``columns`` of the source. It appears whole or not at all.

    Raises HeadError for a regression, whose numbers have no margin; SourceError for an output that cannot be
    or where no row is left, and otherwise as :func:`engine.scoring.run.score_parquet`.
    """
    if not head.task.has_classes:
        raise HeadError(
            "a regression has no margin between labels, which would tell what to label next; "
            "`enc next` is for heads with labels"
        )
    count, pool = _COUNT.checked("--count", count), _POOL.checked("--pool", pool)
    seed = SEED.checked("--seed", seed)
    source, clock = source_for({"": head}, source), Stopwatch()
    label_columns = list(head.record.get("label_columns") or ["label"])
    given = _training_rows(head) if labelled is None else labelled
    labelled_sources = [source_for({"": head}, one) for one in given]
    files = [file for one in (source, *labelled_sources) if not one.query for file in one.files()]
    require_sheet(output)
    require_output(Path(output), files, overwrite=overwrite)
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        con, scratch = scope.enter_context(workspace()), Path(scope.enter_context(scratch_folder()))
        if source.query:
            source = query_as_file(con, source, scratch)
        there = list(source_columns(con, source))
        for column in columns:
            if column not in there:
                raise SourceError(
                    f"column '{column}' is not in {source.title} (it has: {', '.join(there)}); mend --columns"
                    f"{did_you_mean(column, there)}"
                )
        has_labels = all(column in there for column in label_columns)
        features = Features({"": head}, _store(store), True, scratch, load or load_encoder_of)
        opened = {file: ParquetInput(file) for file in source.files() if source.format_of(file) == "parquet"}
        for one in opened.values():
            scope.callback(one.close)
        facts = {file: facts_of(file) for file in source.files()}
        stage, (group,), counts = features.located(con, source, label_columns if has_labels else None, clock)
        with clock("compare"):
            ids, known = _candidates(stage, group, labelled_sources, label_columns, has_labels=has_labels)
        if not len(ids):
            raise SourceError(
                f"no row of {source.title} is left to label: all have a label already, or no text"
            )
        with clock("score"):
            outputs = _outputs(RowFeatures(head, group, stage), ids, head.outputs_count)
        margins = margins_of(head, outputs)
        chosen = closest(margins, count, pool, seed)
        added = Added(head)
        decided = added.decide(outputs[chosen])
        names = _names(head, stage, label_columns, columns, added)
        with Rows.of(stage, opened, facts, scratch) as rows:
            texts = _rows_at(rows, source, output, ids[chosen], [*names.texts, *columns])
        sheet = {
            **{name: texts.column(own) for name, own in names.texts_by_name.items()},
            **{name: pa.nulls(len(chosen), kind) for name, kind in _label_types(head, label_columns).items()},
            **dict(
                zip(
                    (one.name for one in added.fields()), added.columns(outputs[chosen], decided), strict=True
                )
            ),
            "margin": pa.array(margins[chosen]),
            **{name: texts.column(name) for name in columns},
        }
        write_sheet(pa.table(sheet), Path(output))
    return ToLabel(
        output=str(output),
        rows=stage.rows,
        rejected=stage.rejected,
        labelled=known,
        candidates=len(ids),
        chosen=len(chosen),
        labelled_sources=[one.title for one in labelled_sources],
        label_columns=label_columns,
        margins=[float(one) for one in (margins[chosen].min(), margins[chosen].max(), margins.max())],
        cached=counts.cached,
        encoded=counts.encoded,
        seconds=clock.rounded(),
    )


def margins_of(head: Head, outputs: np.ndarray) -> np.ndarray:
    """How sure a head is, float32 [rows] from 0 to 1, of probabilities [rows, labels]."""
    if head.task is SINGLE_LABEL:
        best = np.partition(outputs, -2, axis=1)[:, -2:]
        return best[:, 1] - best[:, 0]
    return np.abs(2 * outputs - 1).min(1)


def closest(margins: np.ndarray, count: int, pool: int, seed: int) -> np.ndarray:
    """Positions int64 of ``count`` rows sampled among the ``pool * count`` of the smallest margin, smallest
    first; of all rows where they are fewer.
    """
    order = np.argsort(margins, kind="stable")[: pool * count]
    picked = np.random.default_rng(seed).choice(len(order), min(count, len(order)), replace=False)
    return order[np.sort(picked)]


def _store(store: Store | str | Path | None) -> Store | None:
    return Store(store) if store else None


def _training_rows(head: Head) -> list[Source]:
    """The head's training rows, where they are one file that is there."""
    title = str(head.record.get("train", ""))
    if not title or not Path(title).is_file():
        return []
    return [Source(title)]


def _candidates(
    stage: Stage, group: Group, labelled: Sequence[Source], label_columns: Sequence[str], *, has_labels: bool
) -> tuple[np.ndarray, int]:
    """Ids int64 of the first row of each text without a label, in order; and how many texts have one."""
    places = np.array(group.locations).reshape(stage.ids, -1)
    usable = np.flatnonzero((places >= 0).all(1))
    found = [places[usable]]
    has_label = [stage.rows_where("label IS NOT NULL")[usable] if has_labels else np.zeros(len(usable), bool)]
    for source in labelled:
        with workspace() as con, Located(con, source, [group.shards], label_column=label_columns) as located:
            theirs = locations_of_rows(located.stage, located.lookups[0].locations)
            theirs = np.array(theirs[located.stage.rows_where("label IS NOT NULL")])
        theirs = theirs.reshape(len(theirs), -1)
        found.append(theirs[(theirs >= 0).all(1)])
        has_label.append(np.ones(len(found[-1]), bool))
    _, texts = np.unique(np.concatenate(found), axis=0, return_inverse=True)
    texts = texts.reshape(-1)
    known = np.zeros(len(texts), bool)
    known[texts[np.concatenate(has_label)]] = True
    own, firsts = np.unique(texts[: len(usable)], return_index=True)
    is_free = ~known[own]
    return usable[np.sort(firsts[is_free])], int((~is_free).sum())


def _outputs(rows: RowFeatures, ids: np.ndarray, outputs: int) -> np.ndarray:
    found = np.empty((len(ids), outputs), np.float32)
    for start in range(0, len(ids), _READ_ROWS):
        found[start : start + _READ_ROWS] = rows.outputs(ids[start : start + _READ_ROWS])
    return found


@dataclass(frozen=True)
class _Names:
    texts: list[str]
    """Columns of the texts in the source."""
    texts_by_name: dict[str, str]
    """The same by their names in the head's training."""


def _names(
    head: Head, stage: Stage, label_columns: Sequence[str], columns: Sequence[str], added: Added
) -> _Names:
    """Names of the texts. Raises SourceError where two columns of the output would have one name."""
    own = [stage.text_column, *([stage.pair_column] if stage.pair_column else [])]
    given = [head.text_column or own[0], *([head.pair_column or own[1]] if len(own) > 1 else [])]
    names = [*given, *label_columns, *(one.name for one in added.fields()), "margin", *columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"the output would have two columns '{twice}'; leave it out of --columns")
    return _Names(own, dict(zip(given, own, strict=True)))


def _label_types(head: Head, label_columns: Sequence[str]) -> dict[str, pa.DataType]:
    kind = head.labels.arrow().type
    if head.task is SINGLE_LABEL:
        return {label_columns[0]: kind}
    if len(label_columns) > 1:
        return dict.fromkeys(label_columns, pa.int64())
    return {label_columns[0]: pa.list_(kind)}


def _rows_at(
    rows: Rows, source: Source, output: str | Path, ids: np.ndarray, columns: Sequence[str]
) -> pa.Table:
    """Columns of the rows with these ids, in the order of the ids."""
    job, order = Job(tuple(source.files()), Path(output)), np.argsort(ids)
    wanted, kept = ids[order], []
    for batch, numbers in rows.batches(job, _READ_ROWS, columns):
        here = np.isin(numbers, wanted)
        if here.any():
            kept.append(pa.Table.from_batches([batch]).filter(pa.array(here)))
    rows.require_unchanged(job)
    found = pa.concat_tables(kept, promote_options="permissive")
    return found.take(pa.array(np.argsort(order)))
