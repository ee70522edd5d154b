"""Options that all benchmarks have, and the report that each of them writes."""

import json
from typing import TYPE_CHECKING

import click

from .options import Function, json_option, options
from .progress import note

if TYPE_CHECKING:
    from ..benchmarks.results import Results

report_options = options(
    click.option(
        "--output",
        required=True,
        type=click.Path(),
        metavar="DIR",
        help="Folder for results.json and report.md.",
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


def write(results: "Results", output: str, as_json: bool) -> None:
    """Write results.json and report.md, and print one of them."""
    from ..benchmarks.results import write_report

    report = write_report(results, output)
    click.echo(json.dumps(results.as_dict()) if as_json else report.read_text(encoding="utf-8"))
    note(f"written: {report.with_name('results.json')} and {report}")
