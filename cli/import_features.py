"""`enc import-features`"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .options import file_options, json_option, store_option, text_options
from .text import rejects_line, rows_of

if TYPE_CHECKING:
    from ..engine.features_in.run import ImportSummary


@click.command("import-features", cls=EncCommand, short_help="Take vectors made elsewhere into a store.")
@click.argument("vectors", metavar="VECTORS")
@click.option(
    "--texts",
    multiple=True,
    metavar="SOURCE",
    help="File of the texts, a row for each vector, in the same order; several are read one after another.  "
    "[default: VECTORS, where that is a Parquet file]",
)
@click.option("--model", required=True, metavar="NAME", help="Name of the model that made the vectors.")
@store_option
@click.option("--features", "name", metavar="NAME", help="The feature set's name.  [default: the model's]")
@text_options
@file_options
@click.option(
    "--vector-column",
    metavar="NAME",
    help="Column of the vectors in a Parquet file.  [default: features, or the only one of lists of floats]",
)
@click.option("--pooling", metavar="NAME", help="How the model pooled, where that is known: cls, mean, ….")
@click.option(
    "--max-length", type=click.IntRange(3), metavar="N", help="Tokens that it kept, where that is known."
)
@click.option("--prefix", metavar="TEXT", help="What was put before every text, where that is known.")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    help="How vectors are stored.  [default: float16 where they are float16; else float32]",
)
@json_option
def command(
    vectors: str,
    texts: tuple[str, ...],
    model: str,
    store: str,
    name: str | None,
    text_column: str | None,
    pair_column: str | None,
    format: str | None,
    has_header: bool,
    as_json: bool,
    **setting: Any,
) -> None:
    """Put the vectors of texts that another tool made into a store, as a feature set of their own kind.

    VECTORS is a .npy file with an array [rows, width], or a Parquet file with a column of lists. Heads are
    trained on them as on other features, and known texts are scored. No encoder adds to them: the vectors of
    new texts come from where these came from, by import-features.

    All vectors are looked at before one is stored: a row too many, a number that is not finite, another width
    or two different vectors of one text are refused. Vectors of texts that are known already are compared.
    """
    from ..engine.features_in.run import import_features
    from ..store import Source, SourceError

    if not texts and not vectors.lower().endswith((".parquet", ".pq")):
        raise SourceError(f"whose vectors are in {vectors}? pass --texts with the file of the texts")
    source = Source(
        texts or (vectors,),
        text_column=text_column,
        pair_column=pair_column,
        format=format if texts else "parquet",
        has_header=has_header,
    )
    summary = import_features(vectors, source, store, model=model, name=name, **setting)
    click.echo(
        json.dumps(dataclasses.asdict(summary), ensure_ascii=False)
        if as_json
        else summary_text(summary, store, model)
    )


def summary_text(summary: "ImportSummary", store: str, model: str) -> str:
    """The closing lines of an import."""
    lines = [
        ("rows read", f"{summary.rows:,}", ""),
        ("distinct texts", f"{summary.distinct:,}", ""),
        ("in the store", f"{summary.known:,}", ""),
        ("imported", f"{summary.imported:,}", f"of {summary.width:,} {summary.dtype}, made by '{model}'"),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, summary.rows)),
    ]
    text = f"feature set '{summary.feature_set}' in '{store}', version {summary.version}\n{rows_of(lines)}"
    return f"{text}\n  all rejects:  {summary.rejects_file}" if summary.rejects_file else text
