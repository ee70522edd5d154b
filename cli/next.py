"""`enc next`"""

import dataclasses
import json
from typing import Any

import click

from .command import EncCommand
from .options import any_store_option, backend_options, code_option, json_option, source_options
from .text import count_text, rows_of
from .values import classifier_values, encoder_loader, source_of


@click.command("next", cls=EncCommand, short_help="Choose which rows to label next.")
@click.argument("sources", nargs=-1, metavar="UNLABELLED…")
@click.option("--head", required=True, type=click.Path(), metavar="DIR", help="A head made by train-head.")
@click.option("--count", required=True, type=int, metavar="N", help="How many rows to label.")
@click.option(
    "--output",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="The file to fill in: .tsv, .csv or .parquet.",
)
@any_store_option
@click.option(
    "--labelled",
    multiple=True,
    metavar="FILE",
    help="Rows that are labelled already, whose texts are left out; may be given several times.  "
    "[default: the head's training rows]",
)
@click.option(
    "--pool",
    type=int,
    default=10,
    show_default=True,
    help="Sample among so many times N rows: those that the head is least sure of.",
)
@click.option("--columns", metavar="LIST", help="More columns of UNLABELLED to write, such as id,date.")
@click.option("--seed", type=int, default=42, show_default=True, help="Of the sample.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it is there already.")
@source_options
@click.option("--model", metavar="DIR", help="The head's encoder, if its folder has moved.")
@code_option
@backend_options
@json_option
def command(
    sources: tuple[str, ...],
    head: str,
    count: int,
    output: str,
    store: str | None,
    labelled: tuple[str, ...],
    pool: int,
    columns: str | None,
    seed: int,
    overwrite: bool,
    model: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Write N rows of UNLABELLED… that are worth labelling next, with an empty column for the label.

    They are sampled among the rows whose two best labels have about the same probability. Rows that have a
    label, texts that are labelled elsewhere, and texts that come again are left out. Fill in the label, and
    train with this file beside the others: `enc train-head train.tsv FILE …`.
    """
    from ..engine import next_to_label
    from ..engine.classifier import load_classifier

    source = source_of(sources, values)
    known = [source_of(labelled, values, query=None, where=None)] if labelled else None
    loaded = load_classifier(head, **classifier_values(values))
    found = next_to_label(
        source,
        output,
        loaded,
        store,
        count=count,
        labelled=known,
        pool=pool,
        seed=seed,
        columns=[name for name in (columns or "").split(",") if name],
        overwrite=overwrite,
        load=encoder_loader(values, model),
    )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False))
        return
    smallest, largest, of_all = found.margins
    others = (
        " and ".join(found.labelled_sources) or "none but rows with a label; name others: --labelled FILE"
    )
    lines = [
        ("rows read", f"{found.rows:,}", ""),
        ("rejected", f"{found.rejected:,}", ""),
        ("labelled already", f"{found.labelled:,}", f"distinct texts; labelled rows: {others}"),
        ("without a label", f"{found.candidates:,}", f"distinct texts, of margins up to {of_all:.3f}"),
        ("to label", f"{found.chosen:,}", f"of margins from {smallest:.3f} to {largest:.3f}"),
        ("texts in the store", f"{found.cached:,}", ""),
        ("encoded", f"{found.encoded:,}", ""),
        ("seconds", f"{found.seconds['total']:.2f}", ""),
    ]
    click.echo(f"{count_text(found.chosen, 'row')} to label: '{found.output}'\n{rows_of(lines)}")
    click.echo(
        f"fill in {' and '.join(repr(name) for name in found.label_columns)}, "
        "and train with this file beside the labelled ones"
    )
