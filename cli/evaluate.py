"""`enc evaluate`"""

import dataclasses
import json
from typing import Any

import click

from .command import EncCommand
from .options import (
    any_store_option,
    backend_options,
    code_option,
    json_option,
    label_option,
    source_options,
    threshold_option,
)
from .score_text import evaluation_text
from .values import classifier_values, encoder_loader, source_of, threshold_of


@click.command("evaluate", cls=EncCommand, short_help="Measure a head on labelled rows.")
@click.argument("head", metavar="HEAD")
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@any_store_option
@source_options
@label_option("Column of the true label.  [default: that of the training]")
@threshold_option
@click.option(
    "--wrong",
    type=click.Path(),
    metavar="FILE",
    help="Write the rows that are predicted wrongly, the worst first, as Parquet.",
)
@click.option("--overwrite", is_flag=True, help="Let --wrong replace a file that is there already.")
@click.option("--no-cache", is_flag=True, help="Do not add newly encoded texts to the store.")
@click.option("--model", metavar="DIR", help="The head's encoder, if its folder has moved.")
@code_option
@backend_options
@json_option
def command(
    head: str,
    sources: tuple[str, ...],
    store: str | None,
    label_columns: tuple[str, ...],
    threshold: tuple[str, ...],
    wrong: str | None,
    overwrite: bool,
    no_cache: bool,
    model: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Print the metrics of HEAD, a head or a fine-tuned model, on the labelled rows of SOURCE….

    Nothing else is written, but for the rows that were wrong with --wrong, and the features of new texts
    with --store.
    """
    from ..engine import evaluate_head
    from ..engine.classifier import load_classifier

    source = source_of(sources, values)
    loaded = load_classifier(head, **classifier_values(values))
    load = encoder_loader(values, model)
    if values["verify_model"]:
        load(loaded.spec)  # also where every text is known, and nothing needs the model
    summary = evaluate_head(
        source,
        loaded,
        store,
        label_column=label_columns or None,
        threshold=threshold_of(threshold),
        wrong=wrong,
        overwrite=overwrite,
        cache=not no_cache,
        load=load,
    )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary), ensure_ascii=False))
    else:
        click.echo(evaluation_text(summary, [str(label) for label in loaded.labels.values]))
