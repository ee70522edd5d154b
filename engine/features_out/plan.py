"""What is to be written, checked before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from ...store import Source
from ...store.copying import query_as_file
from ...store.duck import workspace
from ...store.sides import require_joint
from ...store.source import pick_columns
from ...store.stage import source_columns
from ..scoring.jobs import Job, jobs_of, rejects_file_of, require_output, with_files_of_folders
from ..scoring.rows import output_names
from .form import Form, require_columns
from .formats import TABLES, format_of, rows_file_of


@dataclass(frozen=True)
class Plan:
    """What is to be written, once all is checked that can be told before anything is read."""

    source: Source
    jobs: list[Job]
    format: str
    form: Form
    columns: list[str] | None
    """Columns of the input that are kept; None stands for all."""

    @property
    def reads_rows(self) -> bool:
        """Whether other columns of the input than its texts are read."""
        return self.format in TABLES and self.columns != []

    def with_query_as_file(self, con: duckdb.DuckDBPyConnection, folder: Path) -> "Plan":
        """The plan with the rows of its query in a file of ``folder``."""
        rows = query_as_file(con, self.source, folder)
        return replace(self, source=rows, jobs=[replace(job, inputs=rows.names) for job in self.jobs])


def plan_output(
    source: Source | str | Path | Sequence[str | Path],
    output: str | Path,
    form: Form,
    *,
    columns: Sequence[str] | None = None,
    overwrite: bool = False,
) -> Plan:
    """The plan of an output, all mistakes told that show in its files' names and columns.

    Raises SourceError for a file, column or format that cannot be, and for outputs that would do harm.
    """
    given = source if isinstance(source, Source) else Source(source)
    require_joint(given)
    source, format = with_files_of_folders(given), format_of(output)
    plan = Plan(
        source,
        jobs_of(source, output, overwrite=overwrite),
        format,
        form,
        None if columns is None else list(columns),
    )
    require_output(rejects_file_of(output), overwrite=overwrite)
    if format not in TABLES:
        require_columns(form, format, plan.columns)
    if format == "npy":
        require_output(rows_file_of(Path(output)), source.files(), overwrite=overwrite)
    with workspace() as con:
        for job in plan.jobs:
            one = source if source.query else replace(source, paths=(job.inputs[0],))
            names = list(source_columns(con, one))
            pick_columns(one, names, job.inputs[0])
            if plan.format in TABLES:
                output_names(names, plan.columns, form.fields(), job.inputs[0])
    return plan
