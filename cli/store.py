"""`enc store`"""

import json
from typing import TYPE_CHECKING, Any

import click

from .errors import EncCommand
from .options import json_option
from .text import size_text, table_text

if TYPE_CHECKING:
    from ..store import FeatureTable


@click.group("store")
def command() -> None:
    """Look into a store."""


@command.command("ls", cls=EncCommand)
@click.argument("store", type=click.Path())
@json_option
def list_sets(store: str, as_json: bool) -> None:
    """List the feature sets of STORE: rows, size, version, shape, dtype and model."""
    from ..store import Store

    tables = [Store(store).open(name) for name in Store(store).feature_sets()]
    if as_json:
        click.echo(json.dumps([_summary(table) for table in tables]))
        return
    titles = ("name", "rows", "size", "version", "shape", "dtype", "model")
    rows = [
        (
            table.name,
            f"{table.rows:,}",
            size_text(table.bytes),
            str(table.version),
            " x ".join(map(str, table.spec.shape)),
            table.spec.dtype,
            table.spec.model,
        )
        for table in tables
    ]
    click.echo(table_text(titles, rows, right=("rows", "size", "version")))


@command.command("show", cls=EncCommand)
@click.argument("store", type=click.Path())
@click.argument("name", required=False)
@json_option
def show(store: str, name: str | None, as_json: bool) -> None:
    """Show the setting of every feature set of STORE, or of the one called NAME."""
    from ..store import Store

    for table in [Store(store).open(n) for n in ([name] if name else Store(store).feature_sets())]:
        setting = json.loads(table.spec.to_json())
        if as_json:
            click.echo(json.dumps(_summary(table) | {"spec": setting}))
            continue
        size, shards = size_text(table.bytes), len(table.shards)
        click.echo(f"{table.name}: {table.rows:,} rows, {size} in {shards} shards, version {table.version}")
        width = max(map(len, setting))
        for key, value in setting.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"  {key:<{width}}  {shown}".rstrip())


def _summary(table: "FeatureTable") -> dict[str, Any]:
    return {"name": table.name, "rows": table.rows, "bytes": table.bytes, "version": table.version}
