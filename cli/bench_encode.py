"""`enc bench encode`"""

from typing import Any

import click

from .bench_options import model_option, repetitions_option, report_options, write
from .command import EncCommand
from .options import source_options
from .values import source_of
from .voice import note


@click.command("encode", cls=EncCommand, short_help="Texts to features, against transformers and its kin.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]…")
@source_options
@model_option()
@click.option(
    "--max-length", type=int, default=128, show_default=True, help="Tokens kept of a text, by all alike."
)
@click.option(
    "--texts",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Texts to encode, drawn from SOURCE….",
)
@repetitions_option(3)
@click.option("--device", metavar="NAME", help="cuda or cpu.  [default: the GPU if there is one]")
@click.option(
    "--peer-python",
    "peer_pythons",
    multiple=True,
    type=click.Path(),
    metavar="PYTHON",
    help="Look for peers in this interpreter's environment, too; see benchmarks/peers-onnx.txt and the like.",
)
@click.option(
    "--int8-model",
    type=click.Path(),
    metavar="DIR",
    help="Measure this, too: MODEL as `enc calibrate` quantized it.",
)
@click.option(
    "--static-model",
    type=click.Path(),
    metavar="DIR",
    help="Measure this, too: a folder of model2vec, whose embeddings are static.",
)
@click.option(
    "--label-column",
    metavar="NAME",
    help="Tell how well a logistic regression does on enc's features and on those of --static-model.",
)
@report_options
def encode(sources: tuple[str, ...], output: str, compare: str | None, as_json: bool, **values: Any) -> None:
    """Texts to features: enc against transformers and sentence-transformers, as far as they are installed."""
    from ..benchmarks.bench_encode import run

    results = run(
        source_of(sources, values),
        model=values["model"],
        max_length=values["max_length"],
        texts=values["texts"],
        repetitions=values["repetitions"],
        say=note,
        peer_pythons=values["peer_pythons"],
        int8_model=values["int8_model"],
        static_model=values["static_model"],
        label_column=values["label_column"],
        device=values["device"],
    )
    write(results, output, compare, as_json)
