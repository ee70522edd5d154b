"""`enc store`"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand, EncGroup
from .options import json_option
from .store_text import (
    compared_text,
    deleted_text,
    left_work_text,
    list_text,
    vacuumed_text,
    verified_text,
)
from .text import count_text, size_text
from .voice import warn

if TYPE_CHECKING:
    from ..store import FeatureTable

store_argument = click.argument("store", type=click.Path())
name_argument = click.argument("name", required=False)


@click.group("store", cls=EncGroup)
def command() -> None:
    """Look into a store, verify it, and keep it small."""


@command.command(
    "ls", cls=EncCommand, short_help="List the feature sets: rows, size, shape, dtype and model."
)
@store_argument
@json_option
def list_sets(store: str, as_json: bool) -> None:
    """List the feature sets of STORE: rows, size, version, shape, dtype and model.

    A feature set that is damaged is named after the others.
    """
    from ..store import Store
    from ..store.errors import StoreError

    tables: list[FeatureTable] = []
    problems: list[StoreError] = []
    for name in Store(store).feature_sets():
        try:
            tables.append(Store(store).open(name))
            tables[-1].require_files()
        except StoreError as error:
            problems.append(error)
    if as_json:
        click.echo(json.dumps([_summary(table) for table in tables]))
    elif tables:
        click.echo(list_text(tables))
    for problem in problems[:-1]:
        warn(f"error: {problem}")
    if problems:
        raise problems[-1]


@command.command("show", cls=EncCommand, short_help="Show the setting of each feature set.")
@store_argument
@name_argument
@click.option(
    "--sql", "programs", is_flag=True, help="Print programs for DuckDB, Polars and Spark that read it."
)
@json_option
def show(store: str, name: str | None, programs: bool, as_json: bool) -> None:
    """Show the setting of every feature set of STORE, or of the one called NAME."""
    for table in _tables(store, name):
        if programs:
            _print_programs(table, as_json=as_json)
            continue
        setting = json.loads(table.spec.to_json())
        if as_json:
            click.echo(json.dumps(_summary(table) | {"spec": setting}))
            continue
        size, shards = size_text(table.bytes), count_text(len(table.logged), "shard")
        click.echo(f"{table.name}: {table.rows:,} rows, {size} in {shards}, version {table.version}")
        width = max(map(len, setting))
        for key, value in setting.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"  {key:<{width}}  {shown}".rstrip())


def _print_programs(table: "FeatureTable", *, as_json: bool) -> None:
    from ..store.snippets import snippets

    programs = snippets(table)
    if as_json:
        click.echo(json.dumps({"name": table.name, **programs}))
        return
    for tool, program in programs.items():
        click.echo(f"# {table.name}, by {tool}\n{program}\n")


@command.command("verify", cls=EncCommand, short_help="Look at all shards, and mend what is broken.")
@store_argument
@name_argument
@click.option(
    "--repair",
    is_flag=True,
    help="Drop what is broken, so that build-features encodes it again; make a log that cannot be read anew.",
)
@json_option
def verify(store: str, name: str | None, repair: bool, as_json: bool) -> None:
    """Look at all of the feature sets of STORE, or at the one called NAME.

    Every shard is read: its file, footer, rows, keys, checksums, and whether its features are finite. Ends
    with exit code 2 where something is damaged and not repaired.
    """
    from ..store import Store
    from ..store.errors import StoreError
    from ..store.verify import verify as verify_set

    is_sound = True
    for one in [name] if name else Store(store).feature_sets():
        found = verify_set(store, one, repair=repair)
        is_sound = is_sound and found.is_sound
        if as_json:
            click.echo(json.dumps(asdict(found)))
            continue
        for line in [*found.damaged, *found.unreadable]:
            warn(line)
        click.echo(verified_text(found))
    if not is_sound:
        raise StoreError(f"'{store}' is damaged; run `enc store verify '{store}' --repair`")


@command.command("compact", cls=EncCommand, short_help="Write small shards into large ones.")
@store_argument
@name_argument
@click.option(
    "--by-key", is_flag=True, help="Sort rows by key, so that who looks for some texts reads few shards."
)
@click.option(
    "--disk",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="With --by-key: use so much of the temporary folder.  [default: half of what is free]",
)
@json_option
def compact(store: str, name: str | None, by_key: bool, disk: float | None, as_json: bool) -> None:
    """Write small shards into large ones, in all feature sets of STORE or in the one called NAME.

    A text that two builders encoded at once is kept once, and shards that other tools have rewritten get
    their layout back. Disk space is free again after `enc store vacuum`.
    """
    if disk and not by_key:
        raise click.UsageError("--disk is of --by-key")
    from ..store.compact import compact as compact_set

    for table in _tables(store, name):
        done = compact_set(table, by_key=by_key, disk_bytes=int(disk * 1e9) if disk else None)
        if as_json:
            click.echo(json.dumps(asdict(done)))
        else:
            shards = count_text(done.shards_before, "shard")
            click.echo(
                f"{done.feature_set}: {shards} {'is' if done.shards_before == 1 else 'are'} now "
                f"{done.shards_after:,}, {count_text(done.rows, 'row')}, "
                f"{count_text(done.doubles, 'double')} removed, version {done.version}"
            )


@command.command("vacuum", cls=EncCommand, short_help="Remove files of old versions and of killed processes.")
@store_argument
@name_argument
@click.option(
    "--retain",
    type=click.FloatRange(0, 1e6),
    default=168,
    show_default=True,
    metavar="HOURS",
    help="Keep the files of versions that were replaced later than this.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@json_option
def vacuum(store: str, name: str | None, retain: float, dry_run: bool, as_json: bool) -> None:
    """Remove files of old versions, and what killed processes left, from STORE or from feature set NAME.

    Nothing is removed that a living process reads or writes. Without NAME, what first passes left of builds
    that nobody finished goes, too, when nobody has used it for --retain hours.
    """
    from ..store.log_folder import feature_sets_in
    from ..store.places import place_of
    from ..store.vacuum import vacuum as vacuum_set
    from ..store.work import vacuum_work

    left = [] if name else vacuum_work(store, retain_hours=retain, dry_run=dry_run)
    for work in left:
        click.echo(json.dumps(asdict(work)) if as_json else left_work_text(work, dry_run=dry_run))
    if left and not feature_sets_in(place_of(store)):
        return
    for table in _tables(store, name):
        done = vacuum_set(table, retain_hours=retain, dry_run=dry_run)
        if as_json:
            click.echo(json.dumps(asdict(done)))
            continue
        click.echo(vacuumed_text(done, dry_run=dry_run))


@command.command("delete", cls=EncCommand, short_help="Delete texts.")
@store_argument
@name_argument
@click.option("--keys-from", multiple=True, metavar="FILE", help="Delete the texts of these files, or globs.")
@click.option("--text-column", metavar="NAME", help="Column of the text in --keys-from.")
@click.option("--pair-column", metavar="NAME", help="Column of the second text, for pairs.")
@click.option(
    "--where",
    metavar="SQL",
    help="Which rows of --keys-from; alone, which rows of the store, by key, n_tokens and truncated.",
)
@json_option
def delete(
    store: str,
    name: str | None,
    keys_from: tuple[str, ...],
    text_column: str | None,
    pair_column: str | None,
    where: str | None,
    as_json: bool,
) -> None:
    """Delete texts from all feature sets of STORE, or from the one called NAME.

    They are gone from current data at once. Older versions still have them until
    `enc store vacuum STORE --retain 0` removes these from the disk.
    """
    from ..store import Source
    from ..store.delete import delete as delete_from

    if not keys_from and not where:
        raise click.UsageError("say what to delete: --keys-from FILE, or --where SQL")
    if not keys_from and (text_column or pair_column):
        raise click.UsageError("--text-column and --pair-column are of --keys-from FILE")
    texts = None
    if keys_from:
        texts = Source(keys_from, text_column=text_column, pair_column=pair_column, where=where)
    for table in _tables(store, name):
        done = delete_from(table, texts=texts, where=None if texts else where)
        click.echo(json.dumps(asdict(done)) if as_json else deleted_text(store, done))


@command.command("diff", cls=EncCommand, short_help="Compare the features of two feature sets.")
@store_argument
@click.argument("first")
@click.argument("second")
@click.option(
    "--other", type=click.Path(), metavar="STORE", help="The store of SECOND, if it is another one."
)
@json_option
def diff(store: str, first: str, second: str, other: str | None, as_json: bool) -> None:
    """Compare the features that sets FIRST and SECOND of STORE have of the same texts, by their cosines."""
    from ..store import Store
    from ..store.compare import compare

    found = compare(Store(store).open(first), Store(other or store).open(second))
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(compared_text(found))


def _tables(store: str, name: str | None) -> "Iterator[FeatureTable]":
    """The feature set of a name, or all of a store."""
    from ..store import Store

    for one in [name] if name else Store(store).feature_sets():
        yield Store(store).open(one)


def _summary(table: "FeatureTable") -> dict[str, Any]:
    return {"name": table.name, "rows": table.rows, "bytes": table.bytes, "version": table.version}
