"""A source in, the features of its rows out, in the order of the rows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ...store import FeatureSpec, FeatureTable, Source
from ...store.duck import workspace
from ...store.located import Located
from ...store.mapped_tokens import mapped_features
from ...store.progress import Progress, hears_progress
from ...store.required import require_features
from ...store.scratch import scratch_folder
from ..encode.build import Stopwatch, encode_missing, find_missing
from ..encode.encoder import Encoder
from ..scoring.jobs import QUERY, rejects_file_of
from ..scoring.parquet_input import Facts, ParquetInput, changed, facts_of
from ..scoring.rows import Rows
from ..scoring.tables import Group
from .form import Form
from .formats import rows_file_of
from .outputs import Outputs
from .plan import plan_output


@dataclass(frozen=True)
class FeaturesSummary:
    """What a run of :func:`write_features` did."""

    rows: int
    """Rows read; lines that do not parse are not among them."""
    with_features: int
    """Rows among them that have features: the others are null, or in files of arrays left out."""
    rejected: int
    """Rows without a usable text, and lines that do not parse."""
    rejects: dict[str, int]
    """Rejected rows by reason."""
    rejects_file: str | None
    """Parquet file of source, row and reason of each."""
    cached: int
    """Distinct texts whose features were in the store."""
    encoded: int
    shape: list[int]
    """Of a row's features."""
    dtype: str
    feature_set: str
    seconds: dict[str, float]
    outputs: list[str]
    rows_file: str | None
    """Of a .npy file: the file with the number of the row of each of its rows."""


@hears_progress
def write_features(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    table: FeatureTable | str | Path,
    *,
    use: FeatureSpec | str | None = None,
    dtype: str | None = None,
    layout: str = "list",
    columns: Sequence[str] | None = None,
    column_prefix: str = "",
    overwrite: bool = False,
    load: Callable[[FeatureSpec], Encoder] | None = None,
    progress: Progress | None = None,
) -> FeaturesSummary:
    """Write the features of a source's rows, in the order of the rows, to a file.

    ``source`` is a file, several, or a Source (any format, a condition, a query). The ending of ``output``
    decides. ``.parquet`` and ``.arrow`` hold a row for each row of the source: the source's ``columns``
    (all by default, none for an empty list) and ``features``, a list of fixed size, flattened where a row's
    features are those of tokens; the field's metadata tells the shape. Rows without a usable text are null
    there. ``.npy`` and ``.npz`` hold features [rows, *shape] alone, of the rows that have a usable text;
    the numbers of the rows, from 0, are in ``.rows.npy`` beside the file, or the array ``rows`` in it. A
    folder gets a Parquet file for each file of the source.

    ``use`` are parts of the features, ``dtype`` float16 or float32 (as stored by default), and with
    ``layout="columns"`` each number of a row has a column of its own. Texts that the table does not hold are
    an error (MissingFeatures), or, with ``load``, encoded by the encoder that ``load`` makes for the table's
    setting, and added to the table. An output appears whole or not at all. Memory does not grow with the rows
    of Parquet files but by a few bytes a row; rows of other formats are staged first.
    """
    clock = Stopwatch()
    with ExitStack() as scope:
        scope.enter_context(clock("total"))
        table = FeatureTable.of(table)
        form = Form.of(table.spec, use=use, dtype=dtype, layout=layout, column_prefix=column_prefix)
        plan = plan_output(source, output, form, columns=columns, overwrite=overwrite)
        con = scope.enter_context(workspace())
        scratch = Path(scope.enter_context(scratch_folder()))
        asked = plan.source
        if asked.query:
            with clock("stage"):
                plan = plan.with_query_as_file(con, scratch)
        opened, facts = {}, {file: facts_of(file) for file in plan.source.files()}
        if plan.reads_rows:
            for file in plan.source.files():
                if plan.source.format_of(file) == "parquet":
                    opened[file] = ParquetInput(file)
                    scope.callback(opened[file].close)  # also where the rows are never read
        group = Group([], [table], table.spec)
        with clock("stage"):
            located = scope.enter_context(Located(con, plan.source, [group.read_shards()]))
        stage, found, encoded = located.stage, located.lookups[0], 0
        if asked.query:
            stage.name_file(0, QUERY)
        cached = found.distinct - found.missing
        if found.missing:
            if load is None or table.spec.imported:
                require_features(table, [(replace(stage, source=asked), found)])
            else:
                encoded = _encode(located, group, load, clock)
                _require_unchanged(facts)  # they were read once more
        rows = None
        if plan.reads_rows:
            with clock("stage"):
                rows = scope.enter_context(Rows.of(stage, opened, facts, scratch))
        features = mapped_features(group.shards, group.spec, form.spec)
        written = Outputs(plan, stage, found.locations, features, rows)
        with clock("write"):
            for job in plan.jobs:
                written.write(job)
        rejects = rejects_file_of(output)
        rejects_file = stage.write_rejects(rejects)
        if rejects_file is None:
            rejects.unlink(missing_ok=True)  # of an earlier run
        reasons = stage.reasons()
    return FeaturesSummary(
        rows=written.rows,
        with_features=written.with_features,
        rejected=stage.rejected,
        rejects=reasons,
        rejects_file=str(rejects_file) if rejects_file else None,
        cached=cached,
        encoded=encoded,
        shape=list(form.spec.shape),
        dtype=form.dtype,
        feature_set=table.name,
        seconds=clock.rounded(),
        outputs=[str(job.output) for job in plan.jobs],
        rows_file=str(rows_file_of(Path(output))) if plan.format == "npy" else None,
    )


def _require_unchanged(facts: Mapping[str, Facts | None]) -> None:
    for file, before in facts.items():
        if facts_of(file) != before:
            raise changed(file)


def _encode(
    located: Located,
    group: Group,
    load: Callable[[FeatureSpec], Encoder],
    clock: Stopwatch,
) -> int:
    """Add to a table what it lacks of the located texts; returns how many these are."""
    with clock("stage"):
        texts = located.stage_missing()
        work = find_missing(texts, group.shards)
    with clock("load"):
        encoder = load(group.spec)
    encode_missing(texts, work, group.tables[0], encoder, clock=clock)
    with clock("stage"):
        first_shard = len(group.shards)
        located.find_missing_in(0, group.read_new_shards(), first_shard)
    return work.encoded
