"""`enc features`"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .errors import REJECTS
from .options import backend_options, encoding_options, json_option, source_options, store_option
from .text import rejects_line, rows_of, seconds_line
from .values import encoder_loader, require_input, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine import Encoder
    from ..engine.features_out.run import FeaturesSummary
    from ..store import FeatureSpec, FeatureTable, Source


@click.command("features", cls=EncCommand, short_help="Write stored features beside your own columns.")
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@click.argument("output", metavar="OUT")
@store_option
@click.option(
    "--features",
    "name",
    metavar="NAME",
    help="Feature set.  [default: the only one; with options of --build, by setting]",
)
@source_options
@click.option(
    "--columns",
    metavar="LIST",
    help="Columns of the input that are kept, such as id,label; '' for none.  [default: all]",
)
@click.option("--use", metavar="PARTS", help="Parts of the features: layers=9-12,pooling=mean.")
@click.option(
    "--dtype",
    "written_dtype",
    type=click.Choice(["float16", "float32"]),
    help="Type of the numbers.  [default: as stored; float32 with --layout columns]",
)
@click.option(
    "--layout",
    type=click.Choice(["list", "columns"]),
    default="list",
    show_default=True,
    help="One column of lists of fixed size, or a column for each number: features_0, features_1, ….",
)
@click.option(
    "--column-prefix", default="", metavar="TEXT", help="Put before the names of the added columns."
)
@click.option("--overwrite", is_flag=True, help="Replace output files that are there already.")
@click.option("--strict", is_flag=True, help="End with exit code 3 if any row is rejected.")
@click.option("--build", is_flag=True, help="Encode texts that have no features yet, and keep them.")
@click.option(
    "--model",
    metavar="NAME",
    help="With --build: minilm, a local folder, or a hub id.  [default: the feature set's; else minilm]",
)
@encoding_options
@backend_options
@json_option
def command(
    sources: tuple[str, ...],
    output: str,
    store: str,
    name: str | None,
    columns: str | None,
    use: str | None,
    written_dtype: str | None,
    layout: str,
    column_prefix: str,
    overwrite: bool,
    strict: bool,
    build: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Write the features of SOURCE…, one row for each of its rows, in its order, to OUT.

    A SOURCE is a TSV, CSV, JSON-lines or Parquet file, a folder of Parquet files, or a quoted glob. OUT is
    .parquet or .arrow, with the columns of the input and `features`, where rows without a usable text are
    null; or .npy or .npz, with an array of the features of the other rows alone, whose numbers, from 0, are
    in the array `rows` of x.npz, and in x.rows.npy beside x.npy; or a folder, with a Parquet file for each
    SOURCE. Rejected rows are listed in OUT.rejects.parquet.

    Nothing is encoded without --build; with it, options of build-features choose the model and setting of a
    feature set that is not there yet.
    """
    from ..engine.features_out.run import write_features
    from ..store import Store

    require_input(sources, output, values)
    source = source_of(sources, values)
    form: dict[str, Any] = {
        "use": use, "dtype": written_dtype, "layout": layout, "column_prefix": column_prefix,
    }  # fmt: skip
    kept = None if columns is None else [column for column in columns.split(",") if column]
    files: dict[str, Any] = {"columns": kept, "overwrite": overwrite}
    load = None
    if build:
        table, load = _table_to_build(source, output, store, name, values, form, files)
    else:
        _refuse_encoding()
        table = Store(store).open(name)
    summary = write_features(source, output, table, **form, **files, load=load)
    click.echo(
        json.dumps(dataclasses.asdict(summary), ensure_ascii=False) if as_json else summary_text(summary)
    )
    if strict and summary.rejected:
        click.get_current_context().exit(REJECTS)


def _table_to_build(
    source: "Source",
    output: str,
    store: str,
    name: str | None,
    values: dict[str, Any],
    form: dict[str, Any],
    files: dict[str, Any],
) -> "tuple[FeatureTable, Callable[[FeatureSpec], Encoder]]":
    """The feature set that is written, and what loads its encoder; it is made where it is not there."""
    from ..engine.features_out.form import Form
    from ..engine.features_out.plan import plan_output
    from ..store import Store, StoreError, default_name
    from .build_features import encoder_for

    given = _given(("model", *_setting_names()))
    try:
        names = Store(store).feature_sets()
    except StoreError:
        names = []
    is_there = name in names if name else bool(names) and not given
    if is_there and not given:
        return Store(store).open(name), encoder_loader(values, None)
    encoder = encoder_for(store, name, values if is_there else {**values, "dtype": form["dtype"]})
    plan_output(source, output, Form.of(encoder.spec, **form), **files)  # before a feature set is made
    table = Store(store).create(name or default_name(encoder.spec, encoder.layer_count), encoder.spec)
    return table, lambda _: encoder


def _refuse_encoding() -> None:
    """Raise SourceError for an option that only encoding has a use for."""
    from ..store import SourceError

    given = _given((*_setting_names(), "model", "backend", "precision", "device", "verify_model"))
    if given:
        raise SourceError(f"{given[0]} is for encoding; add --build, or leave out {given[0]}")


def _setting_names() -> list[str]:
    """Names of the parameters of `encoding_options`."""
    from ..store import Setting

    return [*Setting.__annotations__, "recipe", "prompt", "normalize"]


def _given(names: "Sequence[str]") -> list[str]:
    """Flags of those options that the command line has."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in names and context.get_parameter_source(parameter.name) is not default
    ]


def summary_text(summary: "FeaturesSummary") -> str:
    """Where the features are, and counts."""
    first, *others = summary.outputs
    more = f" and {len(others):,} more files" if others else ""
    shape = " x ".join(f"{size:,}" for size in summary.shape)
    lines = [
        ("rows read", f"{summary.rows:,}", ""),
        ("with features", f"{summary.with_features:,}", f"of {shape} {summary.dtype}"),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, summary.rows)),
        ("texts in the store", f"{summary.cached:,}", ""),
        ("encoded", f"{summary.encoded:,}", ""),
        ("seconds", f"{summary.seconds['total']:.2f}", seconds_line(summary.seconds)),
    ]
    parts = [f"features of '{summary.feature_set}' are in '{first}'{more}", rows_of(lines)]
    if summary.rows_file and summary.with_features < summary.rows:
        left_out = "rows without features are left out; the numbers of the others, from 0, are in"
        parts.append(f"{left_out} '{summary.rows_file}'")
    if summary.rejects_file:
        parts.append(f"rejected rows are in '{summary.rejects_file}'")
    return "\n".join(parts)
