"""`enc score`"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from .errors import EncCommand
from .options import backend_options, classifier_options, json_option, text_options
from .progress import note, progress_bar
from .text import rejects_line, rows_of, seconds_line
from .values import backend_values, load_classifier

if TYPE_CHECKING:
    from ..engine import Encoder, ScoreSummary
    from ..store import FeatureSpec


@click.command("score", cls=EncCommand, short_help="Add predictions to a Parquet file.")
@click.argument("input", metavar="INPUT.parquet")
@click.argument("output", metavar="OUTPUT.parquet")
@classifier_options
@click.option(
    "--store",
    type=click.Path(),
    metavar="DIR",
    help="Folder of the feature sets; without it, nothing is kept.",
)
@text_options
@click.option("--proba", is_flag=True, help="Add one column of probabilities for each label.")
@click.option("--no-cache", is_flag=True, help="Do not add newly encoded texts to the store.")
@click.option(
    "--column-prefix", default="", metavar="TEXT", help="Put before the names of the added columns."
)
@backend_options
@json_option
def command(
    input: str,
    output: str,
    store: str | None,
    text_column: str | None,
    pair_column: str | None,
    proba: bool,
    no_cache: bool,
    column_prefix: str,
    as_json: bool,
    **values: Any,
) -> None:
    """Write INPUT's rows to OUTPUT with `prediction` (a label) and `score` (its probability).

    Of several labels both are lists; a regression predicts numbers, without a score. Columns of the
    text default to those the head was trained on. Rows without a usable text get nulls. Texts in the
    store are not encoded again.
    """
    from ..engine import load_encoder_of, score_parquet

    head, model = load_classifier(values)

    def load(spec: "FeatureSpec") -> "Encoder":
        return load_encoder_of(spec, model=model, **backend_values(values), say=note)

    if values["verify_model"]:
        load(head.spec)  # also where every text is known, and nothing needs the model
    with progress_bar("encoding") as progress:
        summary = score_parquet(
            input,
            output,
            head,
            store,
            text_column=text_column,
            pair_column=pair_column,
            proba=proba,
            cache=not no_cache,
            column_prefix=column_prefix,
            load=load,
            progress=progress,
        )
    click.echo(
        json.dumps(dataclasses.asdict(summary), ensure_ascii=False) if as_json else _summary_text(summary)
    )


def _summary_text(summary: "ScoreSummary") -> str:
    predictions = ", ".join(f"{label}: {rows:,}" for label, rows in list(summary.predictions.items())[:20])
    lines = [
        ("rows read", f"{summary.rows:,}", ""),
        ("scored", f"{summary.scored:,}", predictions),
        ("null prediction", f"{summary.rejected:,}", rejects_line(summary.rejects)),
        ("texts in the store", f"{summary.cached:,}", ""),
        ("encoded", f"{summary.encoded:,}", ""),
        ("seconds", f"{summary.seconds['total']:.2f}", seconds_line(summary.seconds)),
    ]
    return f"scored rows are in '{summary.output}'\n{rows_of(lines)}"
