"""What draws the report that a command writes."""

from typing import TYPE_CHECKING

import click

from .voice import note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pyarrow as pa

    from ..engine import Head
    from ..engine.finetune.judged import JudgedRows
    from ..engine.train.validation import Validation
    from ..pages.painter import Painter
    from ..store import FeatureTable, Source


def command_painter(wanted: bool) -> "Painter | None":
    """A painter that gets ready beside the command and ends with it; None where there is none."""
    from ..engine.reports.painting import early_painter

    return click.get_current_context().with_resource(early_painter(note, wanted=wanted))


def saved_head(
    head: "Head", output: str, tables: "Mapping[str, pa.Table] | None", report: "Callable[[str], str]"
) -> list[str]:
    """Save a head and its report, which go to a URL together; what became of them, in lines."""
    from ..store.places import folder_to_write

    with folder_to_write(output, "head.json") as folder:
        head.save(folder, tables)
        written = report(str(folder))
    return [f"head saved in '{output}'", *([written.replace(str(folder), output)] if written else [])]


def head_report(
    output: str,
    head: "Head",
    painter: "Painter",
    table: "FeatureTable",
    train: "Source",
    valid: "Validation | None",
    tables: "Mapping[str, pa.Table]",
    seed: int,
) -> str:
    """Write the report of a head that was saved in ``output``; what became of it, as a line.

    ``tables`` are those that are saved beside the head. ``seed`` is that of the training, which chose the
    rows that a Fraction holds out.
    """
    from ..engine import Fraction
    from ..engine.reports.automatic import report_of_head
    from ..store import Source

    rows = valid if isinstance(valid, Source) else valid.share if isinstance(valid, Fraction) else None
    predicted = tables.get("out_of_fold")

    def write() -> "Path":
        return report_of_head(output, head, painter, table, train, rows, predicted=predicted, seed=seed)

    return _written(write)


def tuned_report(output: str, painter: "Painter", judged: "JudgedRows | None") -> str:
    """Write the report of a fine-tuned model; what became of it, as a line."""
    from ..engine.reports.automatic import report_of_tuned

    return _written(lambda: report_of_tuned(output, judged, painter))


def _written(write: "Callable[[], Path]") -> str:
    """What became of a report. What was trained is saved, and nothing about a report takes that back."""
    from ..store import EncError

    try:
        path = write()
    except (EncError, OSError) as error:
        return f"no report was written: {error}"
    return f"report written: '{path}'"
