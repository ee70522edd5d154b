"""`enc audit`"""

import json
from typing import Any

import click

from .command import EncCommand
from .options import json_option, labels_option, pairs_option, source_options, store_option
from .values import source_of


@click.command("audit", cls=EncCommand, short_help="Find rows whose label is doubtful, duplicates, outliers.")
@click.argument("data", nargs=-1, metavar="DATA…")
@store_option
@click.option("--features", metavar="NAME", help="Feature set.  [default: the only one]")
@click.option("--use", metavar="PARTS", help="Parts of the features: layers=9-12,pooling=mean.")
@click.option("--valid", multiple=True, metavar="FILE", help="Validation rows; may be given several times.")
@labels_option
@click.option(
    "--task",
    type=click.Choice(["single-label", "multi-label", "regression"]),
    help="What the labels are.  [default: single-label; multi-label for lists and several columns]",
)
@source_options
@pairs_option
@click.option(
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="Write all rows that were found, with their reasons, as Parquet.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE where it is there already.")
@click.option(
    "--show", type=click.IntRange(0), default=20, show_default=True, help="Rows to list for each reason."
)
@click.option(
    "--folds",
    type=int,
    default=5,
    show_default=True,
    metavar="K",
    help="Each training row is judged by a head that did not see its fold.",
)
@click.option(
    "--similarity",
    type=float,
    default=0.95,
    show_default=True,
    metavar="COSINE",
    help="From here on, rows are nearly the same: cosine of features less their mean.",
)
@click.option(
    "--no-similar",
    is_flag=True,
    help="Leave out near-duplicates and outliers, whose time grows with the square of the rows.",
)
@click.option("--seed", type=int, default=42, show_default=True, help="Of the folds.")
@json_option
def command(
    data: tuple[str, ...],
    store: str,
    features: str | None,
    use: str | None,
    valid: tuple[str, ...],
    label_columns: tuple[str, ...],
    task: str | None,
    output: str | None,
    overwrite: bool,
    show: int,
    folds: int,
    similarity: float,
    no_similar: bool,
    seed: int,
    as_json: bool,
    **values: Any,
) -> None:
    """List the labelled rows of DATA… that someone should look at again.

    These are labels that are probably wrong, by heads that did not see the row; labels that contradict
    each other on the same text; texts that are there twice, or nearly, also in training and validation
    rows; and rows like no other. Nothing is changed.
    """
    from ..engine import SolveConfig
    from ..engine.audit.run import audit
    from ..engine.train.columns import require_columns
    from ..store import Store
    from ..store.parts import select_parts
    from .audit_text import audit_json, audit_text

    source = source_of(data, values)
    judged = source_of(valid, values, query=None) if valid else None
    for one in (source, judged):
        if one is not None:
            require_columns(one, label_columns)
    table = Store(store).open(features)
    found = audit(
        source,
        table,
        valid=judged,
        label_column=label_columns[0] if len(label_columns) == 1 else label_columns,
        task=task,
        use=select_parts(table.spec, use) if use else None,
        folds=folds,
        similarity=None if no_similar else similarity,
        config=SolveConfig(seed=seed),
        output=output,
        overwrite=overwrite,
    )
    if as_json:
        click.echo(json.dumps(audit_json(found, show), ensure_ascii=False))
    else:
        click.echo(audit_text(found, show))
