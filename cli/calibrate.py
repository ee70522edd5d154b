"""`enc calibrate`"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .options import device_option, json_option, setting_options, source_options, verify_option
from .text import table_text
from .values import setting_values, source_of
from .voice import note

if TYPE_CHECKING:
    from ..engine.backends.candidates import Candidate
    from ..engine.gate import Judged
    from ..store import Source


@click.command("calibrate", cls=EncCommand, short_help="Measure the ways to encode on texts of yours.")
@click.argument("model")
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@source_options
@setting_options
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "fp16", "int8"]), help="Measure this precision only."
)
@device_option
@verify_option
@click.option("--label-column", metavar="NAME", help="For int8: column of the label.")
@click.option(
    "--valid", multiple=True, metavar="FILE", help="For int8: validation rows; may be given several times."
)
@click.option(
    "--valid-fraction", type=float, help="For int8: hold out this share of SOURCE's texts.  [default: 0.2]"
)
@click.option("--output", type=click.Path(), metavar="DIR", help="For int8: folder for the quantized model.")
@json_option
@click.pass_context
def command(ctx: click.Context, model: str, sources: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Time every backend and precision of MODEL on a sample of SOURCE…, and show the table.

    `build-features` does the same by itself where it is worth while, and remembers the choice.

    With --precision int8, MODEL is quantized on texts of SOURCE…, and judged: the same head is trained
    on features of full precision and of int8. If that costs at most half a point of accuracy, the
    quantized model is written to --output, to be used as any --model.
    """
    source = source_of(sources, values)
    if values["precision"] == "int8":
        judged = _judge(model, source, values)
        click.echo(
            json.dumps(dataclasses.asdict(judged)) if as_json else _judged_text(judged, values["output"])
        )
        if not judged.passed:
            ctx.exit(1)
        return
    from ..engine.backends.choice import measure_all
    from ..engine.backends.measure import sample_of
    from ..engine.encode.checkpoint import checkpoint_of
    from ..store import ModelError

    checkpoint = checkpoint_of(model, verify_model=values["verify_model"], say=note, **setting_values(values))
    if checkpoint.spec.precision == "int8":
        raise ModelError(f"model '{model}' is quantized; there is only one way to run it")
    sample = sample_of(checkpoint, source)
    found = measure_all(checkpoint, sample, precision=values["precision"], device=values["device"])
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(candidate) for candidate in found.candidates]))
        return
    click.echo(_table(found.candidates))
    if not found.is_steady:
        click.echo("the machine is busy, so that the choice is not remembered; measure again when it is not")


def _judge(model: str, source: "Source", values: dict[str, Any]) -> "Judged":
    from ..engine import Fraction
    from ..engine.gate import judge_int8
    from ..store import ModelError, SourceError

    for name in ("label_column", "output"):
        if not values[name]:
            raise ModelError(
                "int8 is judged by the quality of a head, and kept as a model folder: pass "
                f"--{name.replace('_', '-')}"
            )
    if values["valid"] and values["valid_fraction"] is not None:
        raise SourceError("give validation rows one way: --valid FILE, or --valid-fraction 0.2")
    valid = Fraction(0.2)
    if values["valid"]:
        valid = source_of(values["valid"], values, query=None)
    elif values["valid_fraction"] is not None:
        valid = Fraction(values["valid_fraction"])
    return judge_int8(
        model,
        source,
        values["output"],
        valid=valid,
        label_column=values["label_column"],
        verify_model=values["verify_model"],
        say=note,
        **setting_values(values),
    )


def _table(results: "list[Candidate]", baseline: float | None = None) -> str:
    baseline = baseline or results[0].texts_per_second or 1.0
    titles = ("", "texts/s", "ratio", "tokens a batch", "cosine")
    measured = [
        (
            c.name,
            f"{c.texts_per_second:,.0f}",
            f"{c.texts_per_second / baseline:.2f}x",
            f"{c.tokens_per_batch:,}",
            f"{c.cosine:.5f}",
        )
        for c in results
        if c.texts_per_second and not c.problem
    ]
    lines = [table_text(titles, measured, right=titles[1:])] if measured else []
    return "\n".join([*lines, *(f"{c.name}: {c.problem}" for c in results if c.problem)])


def _judged_text(judged: "Judged", output: str) -> str:
    lines = [_table(judged.full)]
    for judgement in judged.judgements:
        lines += [
            "",
            f"{judgement.recipe}:",
            _table([judgement.measured], judged.full[0].texts_per_second),
            f"head accuracy {judgement.full:.4f} in full precision, {judgement.int8:.4f} in int8: "
            f"{100 * (judgement.int8 - judgement.full):+.2f} points, "
            f"{'accepted' if judgement.passed else 'not accepted'}",
        ]
    if judged.passed:
        return "\n".join([*lines, "", f"written: {output}; use it with --model {output}"])
    return "\n".join([*lines, "", "int8 costs too much on these texts; nothing was written"])
