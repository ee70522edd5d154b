"""Options that all benchmarks have, and the report that each of them writes."""

import json
from typing import TYPE_CHECKING

import click

from .options import Function, json_option, options
from .voice import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..benchmarks.results import Results
    from ..benchmarks.saved import Saved

report_options = options(
    click.option(
        "--output",
        required=True,
        type=click.Path(),
        metavar="DIR",
        help="Folder for results.json, report.md and report.html.",
    ),
    click.option(
        "--compare",
        type=click.Path(dir_okay=False),
        metavar="OLD.json",
        help="A results.json of before: report.html marks what got faster or slower beyond the noise.",
    ),
    json_option,
)


def repetitions_option(default: int) -> Function:
    """How often each contender is measured."""
    return click.option(
        "--repetitions",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="Of each, in turn; medians are reported.",
    )


def model_option(of: str = "") -> Function:
    """The model that is measured; ``of`` is said before what it may be."""
    kinds = "a local folder, a hub id, or minilm."
    said = f"{of}{kinds}" if of else kinds.capitalize()
    return click.option("--model", default="minilm", show_default=True, metavar="NAME", help=said)


def write(results: "Results", output: str, compare: str | None, as_json: bool) -> None:
    """Write results.json, report.md and report.html, and print one of the first two."""
    from ..benchmarks.results import write_report
    from ..benchmarks.saved import read_saved

    before = read_saved(compare) if compare else []
    report = write_report(results, output)
    values = results.as_dict()
    click.echo(json.dumps(values) if as_json else report.read_text(encoding="utf-8"))
    note(f"written: {report.with_name('results.json')} and {report}")
    write_page([values], output, before)


def write_page(found: "Sequence[Saved]", output: str, before: "Sequence[Saved]") -> None:
    """Write report.html, and say what changed beyond the noise."""
    from ..benchmarks.page import write_results_page
    from ..benchmarks.saved import changes
    from ..store import ReportError

    for one in found:
        for name, change in changes(one, before).items():
            if change.is_beyond_noise:
                note(f"{one['benchmark']}, {name}: {change.text}")
    try:
        note(f"written: {write_results_page(found, output, before)}")
    except ReportError as error:
        note(f"no report.html was written: {error}")
