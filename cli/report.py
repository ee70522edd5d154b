"""`enc report`"""

import json
from pathlib import Path

import click

from .command import EncCommand
from .options import json_option


@click.command("report", cls=EncCommand, short_help="A page of a head, a sweep or a scored file.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Folder for report.html.  [default: the folder of the only RUN, with .report at its end]",
)
@click.option(
    "--label-column",
    default="label",
    show_default=True,
    metavar="NAME",
    help="Of scored files: the true label.",
)
@json_option
def command(runs: tuple[str, ...], output: str | None, label_column: str, as_json: bool) -> None:
    """Write one HTML file about RUN…: folders of heads and of fine-tuned models, and Parquet files that
    `enc score --proba` wrote.

    The page needs no network. It shows figures, learning curves, the confusion matrix, classes, calibration,
    precision and recall, the worst classified rows, and the table of a sweep. Several RUNs stand side by
    side. --json prints the figures, too; no texts are among them.
    """
    from ..engine.encode.hub_names import HubName
    from ..engine.reports.report import write_report
    from ..store import ReportError

    if output is None:
        if len(runs) != 1:
            raise ReportError("several runs make one report: pass its folder with --output DIR")
        hub = HubName.of(runs[0])
        output = f"{hub.name if hub else Path(runs[0]).resolve()}.report"
    report = write_report(runs, output, label_column)
    click.echo(
        json.dumps(report.as_dict(), ensure_ascii=False) if as_json else f"report written: '{report.page}'"
    )
