"""`enc bench`"""

import json
from typing import Any

import click

from . import common


@click.group("bench", short_help="Measure enc against the alternatives on this machine.")
def command() -> None:
    """Measure enc against the alternatives, on this machine and on texts of yours."""


@command.command("encode", cls=common.EncCommand)
@click.argument("sources", nargs=-1, metavar="[SOURCE]…")
@common.source_options
@click.option("--model", default="minilm", show_default=True, metavar="NAME", help="A local folder, a hub id, or minilm.")
@click.option("--max-length", type=int, default=128, show_default=True, help="Tokens kept of a text, by all alike.")
@click.option("--texts", type=click.IntRange(1), default=2000, show_default=True, help="Texts to encode, drawn from SOURCE….")
@click.option("--repetitions", type=click.IntRange(1), default=3, show_default=True, help="Of each, in turn; medians are reported.")
@click.option(
    "--peer-python",
    "peer_pythons",
    multiple=True,
    type=click.Path(),
    metavar="PYTHON",
    help="Look for peers in this interpreter's environment, too; see benchmarks/peers-*.txt.",
)
@click.option("--output", required=True, type=click.Path(), metavar="DIR", help="Folder for results.json and report.md.")
@common.json_option
def encode(sources: tuple[str, ...], output: str, as_json: bool, **values: Any) -> None:
    """Texts to features: enc against transformers and sentence-transformers, as far as they are installed."""
    from ..benchmarks.bench_encode import run
    from ..benchmarks.results import write_report

    results = run(
        common.source_of(sources, values),
        model=values["model"],
        max_length=values["max_length"],
        texts=values["texts"],
        repetitions=values["repetitions"],
        say=common.note,
        peer_pythons=values["peer_pythons"],
    )
    report = write_report(results, output)
    click.echo(json.dumps(results.as_dict()) if as_json else report.read_text(encoding="utf-8"))
    common.note(f"written: {report.with_name('results.json')} and {report}")
