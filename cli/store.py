"""`enc store`"""

import json
import sys

import click

from ..cli import common


@click.group("store")
def command() -> None:
    """Look into a store."""


@command.command("ls", cls=common.EncCommand)
@click.argument("store", type=click.Path())
@common.json_option
def list_sets(store: str, as_json: bool) -> None:
    """List the feature sets of STORE: rows, size and version, with the setting in brief."""
    from ..store import Store

    tables = [Store(store).open(name) for name in Store(store).feature_sets()]
    if as_json:
        click.echo(
            json.dumps(
                [{"name": t.name, "rows": t.rows, "bytes": t.bytes, "version": t.version} for t in tables]
            )
        )
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    listing = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "rows", "size", "version", "shape"):
        listing.add_column(
            title, justify="right" if title in ("rows", "size", "version") else "left", no_wrap=True
        )
    listing.add_column("dtype")
    listing.add_column("model", overflow="fold")
    for t in tables:
        shape = " x ".join(map(str, t.spec.shape))
        listing.add_row(
            t.name, f"{t.rows:,}", size_text(t.bytes), str(t.version), shape, t.spec.dtype, t.spec.model
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(listing)


@command.command("show", cls=common.EncCommand)
@click.argument("store", type=click.Path())
@click.argument("name", required=False)
@common.json_option
def show(store: str, name: str | None, as_json: bool) -> None:
    """Show the setting of every feature set of STORE, or of the one called NAME."""
    from ..store import Store

    tables = [Store(store).open(n) for n in ([name] if name else Store(store).feature_sets())]
    for table in tables:
        setting = json.loads(table.spec.to_json())
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "name": table.name,
                        "rows": table.rows,
                        "bytes": table.bytes,
                        "version": table.version,
                        "spec": setting,
                    }
                )
            )
            continue
        click.echo(
            f"{table.name}: {table.rows:,} rows, {size_text(table.bytes)} in {len(table.shards)} shards, version {table.version}"
        )
        for key, value in setting.items():
            click.echo(f"  {key:<12} {', '.join(map(str, value)) if isinstance(value, list) else value}")


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
