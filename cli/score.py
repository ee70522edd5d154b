"""`enc score`"""

import dataclasses
import json
from typing import Any

import click

from .command import EncCommand
from .config_file import typed_command
from .errors import REJECTS
from .grouped_help import options
from .options import (
    any_store_option,
    backend_options,
    classifiers_options,
    json_option,
    label_option,
    source_options,
    threshold_option,
)
from .score_text import summary_text
from .values import encoder_loader, load_classifiers, require_input, source_of, threshold_of
from .voice import note
from .worker_options import worker_options, workers_of


@click.command("score", cls=EncCommand, short_help="Add predictions to files of rows.")
@click.argument("inputs", nargs=-1, metavar="INPUT…")
@click.argument("output", metavar="OUTPUT")
@classifiers_options
@any_store_option
@source_options
@click.option("--no-cache", is_flag=True, help="Do not add newly encoded texts to the store.")
@label_option("Column of the true label: metrics are computed, too.")
@options(
    click.option(
        "--columns",
        metavar="LIST",
        help="Columns of the input that are kept, such as id,text.  [default: all]",
    ),
    click.option("--proba", is_flag=True, help="Add one column of probabilities for each label."),
    click.option(
        "--top-k",
        type=click.IntRange(1),
        default=None,
        metavar="K",
        help="Add the K most probable labels, and their probabilities, as lists.",
    ),
    threshold_option,
    click.option(
        "--column-prefix",
        default="",
        metavar="TEXT",
        help="Put before the names of the added columns.  [default: of several heads, their folders' names]",
    ),
    click.option("--overwrite", is_flag=True, help="Replace output files that are there already."),
    click.option("--strict", is_flag=True, help="End with exit code 3 if any row is rejected."),
    heading="What is written",
)
@backend_options
@worker_options
@json_option
def command(
    inputs: tuple[str, ...],
    output: str,
    store: str | None,
    columns: str | None,
    proba: bool,
    top_k: int | None,
    threshold: tuple[str, ...],
    label_columns: tuple[str, ...],
    no_cache: bool,
    column_prefix: str,
    overwrite: bool,
    strict: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Write the rows of INPUT… to OUTPUT, as Parquet, with `prediction` and `score` (its probability).

    An INPUT is a file (Parquet, TSV, CSV, JSON lines), a folder of Parquet files, or a quoted glob. OUTPUT is
    a file, or a folder (one that is there, or with a slash at its end) with one file for each INPUT. All
    columns of the input stay, in their order and types, and so does the order of the rows.

    Of several labels, prediction and score are lists; a regression predicts numbers, without a score.
    Columns of the text default to those the head was trained on. Rows without a usable text get nulls, and
    are listed in OUTPUT.rejects.parquet. Texts in the store are not encoded again. Several heads (--head A
    --head B) score the rows in one pass, each with columns of its own.

    What an interrupted run has finished lies in OUTPUT.enc-part until the same command, given again, goes on
    with it. Its output is, byte for byte, that of a run without interruption.
    """
    from ..engine import score_parquet

    require_input(inputs, output, values)
    source, workers = source_of(inputs, values), workers_of(values)
    heads, model = load_classifiers(values, column_prefix)
    load = encoder_loader(values, model)
    if values["verify_model"]:
        for head in heads.values():
            load(head.spec)  # also where every text is known, and nothing needs the model
    try:
        summary = score_parquet(
            source,
            output,
            heads,
            store,
            columns=None if columns is None else [name for name in columns.split(",") if name],
            proba=proba,
            top_k=top_k or 0,
            threshold=threshold_of(threshold),
            label_column=label_columns or None,
            cache=not no_cache,
            overwrite=overwrite,
            load=load,
            asked_of_encoder={
                "model": model,
                **{name: values[name] for name in ("backend", "precision", "device")},
            },
            workers=workers,
            say=note,
        )
    except KeyboardInterrupt as interrupt:
        again = typed_command()
        raise type(interrupt)(f"interrupted; what is finished is kept. Go on with: {again}") from None
    click.echo(
        json.dumps(dataclasses.asdict(summary), ensure_ascii=False) if as_json else summary_text(summary)
    )
    if strict and summary.rejected:
        click.get_current_context().exit(REJECTS)
