"""`enc bench all` and `enc bench roofline`"""

import json
from pathlib import Path

import click

from .bench_options import model_option, repetitions_option, report_options, write, write_page
from .command import EncCommand
from .voice import note


@click.command("all", cls=EncCommand, short_help="All of them, as one report.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]…")
@click.option(
    "--quick", is_flag=True, help="Few rows and repetitions, for a minute and a half on two free cores."
)
@click.option("--text-column", metavar="NAME", help="Of SOURCE…: column of the text.")
@click.option(
    "--label-column",
    default="label",
    show_default=True,
    metavar="NAME",
    help="Of SOURCE…: column of the label, which fine-tuning learns.",
)
@model_option()
@click.option(
    "--max-length", type=click.IntRange(3), default=128, show_default=True, help="Tokens of a text."
)
@report_options
def all_parts(
    sources: tuple[str, ...],
    quick: bool,
    text_column: str | None,
    label_column: str,
    model: str,
    max_length: int,
    output: str,
    compare: str | None,
    as_json: bool,
) -> None:
    """Measure everything but scale, on SOURCE… or made-up texts, and write one report.html.

    Each benchmark is a part with a folder of its own in DIR. Interrupt it: the parts that are done stay, and
    the same command goes on with the others.
    """
    from ..benchmarks.bench_all import Asked, run_all
    from ..benchmarks.saved import read_saved

    before = read_saved(compare) if compare else []
    asked = Asked(sources, text_column, label_column, model, max_length, quick)
    found = run_all(asked, Path(output), note)
    if as_json:
        click.echo(json.dumps({"benchmarks": found}))
    if found:
        write_page(found, output, before)


@click.command("roofline", cls=EncCommand, short_help="What this machine can compute and copy at the most.")
@click.option(
    "--seconds", type=click.FloatRange(0.01), default=2.0, show_default=True, help="Of each, a repetition."
)
@repetitions_option(3)
@report_options
def roofline(seconds: float, repetitions: int, output: str, compare: str | None, as_json: bool) -> None:
    """Matrix products in fp32, bf16 and int8, and copies of memory: the ceilings of any encoder here."""
    from ..benchmarks.bench_roofline import run

    write(run(seconds=seconds, repetitions=repetitions, say=note), output, compare, as_json)
