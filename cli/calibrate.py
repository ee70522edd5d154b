"""`enc calibrate`"""

import dataclasses
import json
from typing import Any

import click

from . import common


@click.command("calibrate", cls=common.EncCommand, short_help="Measure the ways to encode on texts of yours.")
@click.argument("model")
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@common.source_options
@click.option("--max-length", type=int, default=128, show_default=True, help="Tokens kept of a text.")
@click.option(
    "--dtype", type=click.Choice(["float16", "float32"]), default="float16", show_default=True, help="How features are stored."
)
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Measure this precision only.")
@common.device_option
@common.json_option
def command(model: str, sources: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Time every backend and precision of MODEL on a sample of SOURCE…, and show the table.

    `build-features` does the same by itself where it is worth while, and remembers the choice.
    """
    from ..engine import load_encoder
    from ..engine.calibrate import measure_source

    source = common.source_of(sources, values)
    encoder = load_encoder(
        model, max_length=values["max_length"], dtype=values["dtype"], precision=values["precision"], device=values["device"]
    )
    results = measure_source(encoder, source)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(c) for c in results]))
        return
    baseline = results[0].texts_per_second or 1.0
    for c in results:
        figures = (
            f"{c.texts_per_second:>9,.0f} texts/s  {c.texts_per_second / baseline:>5.2f}x  {c.tokens_per_batch:>6,} tokens a batch"
        )
        remark = c.problem or f"cosine {c.cosine:.5f}"
        click.echo(f"{c.name:<14}{figures if c.texts_per_second else '':<56}  {remark}")
