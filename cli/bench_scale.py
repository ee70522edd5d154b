"""`enc bench scale`"""

import click

from .bench_options import model_option, repetitions_option, report_options, write
from .command import EncCommand
from .voice import note


@click.command("scale", cls=EncCommand, short_help="Time and memory by number of rows.")
@click.option(
    "--rows",
    type=click.IntRange(1000),
    multiple=True,
    metavar="NUMBER",
    help="May be given several times.  [default: 100000 and 1000000]",
)
@click.option(
    "--shards",
    type=click.IntRange(1),
    multiple=True,
    metavar="NUMBER",
    help="Opening and searching so many shards instead; may be given several times, such as 100 and 10000.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    multiple=True,
    metavar="NUMBER",
    help="Building by so many local workers, against one process, instead; may be given several times.",
)
@click.option("--ray", is_flag=True, help="With --workers: by Ray tasks, too.")
@model_option("With --workers: ")
@repetitions_option(1)
@report_options
def scale(
    rows: tuple[int, ...],
    shards: tuple[int, ...],
    workers: tuple[int, ...],
    ray: bool,
    model: str,
    repetitions: int,
    output: str,
    compare: str | None,
    as_json: bool,
) -> None:
    """Time and memory of building, planning, training and scoring, by number of rows.

    The encoder costs nothing, so that the rest is measured. Ten million rows take about ten minutes and
    10 GB of disk in the temporary folder. With --shards or --workers: what these cost and bring.
    """
    if bool(shards) and bool(workers):
        raise click.UsageError("--shards and --workers are two measurements; ask for one at a time")
    if len(rows) > 1 and (shards or workers):
        raise click.UsageError("with --shards or --workers, --rows is one number")
    if ray and not workers:
        raise click.UsageError("--ray is of --workers")
    if workers:
        from ..benchmarks.bench_shards import TEXTS, run_workers

        found = run_workers(
            workers=workers,
            with_ray=ray,
            model=model,
            texts=rows[0] if rows else TEXTS,
            repetitions=repetitions,
            say=note,
        )
        write(found, output, compare, as_json)
        return
    if shards:
        from ..benchmarks.bench_shards import SHARD_ROWS, run_shards

        number = rows[0] if rows else SHARD_ROWS
        found = run_shards(shards=shards, rows=number, repetitions=repetitions, say=note)
        write(found, output, compare, as_json)
        return
    from ..benchmarks.bench_scale import ROWS, run

    write(run(rows=rows or ROWS, repetitions=repetitions, say=note), output, compare, as_json)
