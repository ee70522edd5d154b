"""`enc bench`"""

import contextlib
import sys
from typing import Any

import click

from .bench_all import all_parts, roofline
from .bench_encode import encode
from .bench_options import model_option, repetitions_option, report_options, write
from .bench_scale import scale
from .command import EncCommand, EncGroup
from .options import source_options
from .values import source_of
from .voice import note


@click.group("bench", cls=EncGroup, short_help="Measure enc against the alternatives on this machine.")
def command() -> None:
    """Measure enc against the alternatives, on this machine and on texts of yours.

    `enc bench all --quick --output bench` measures a little of everything, in minutes.
    """


command.add_command(all_parts)
command.add_command(roofline)
command.add_command(encode)
command.add_command(scale)


@command.command(
    "batches", cls=EncCommand, short_help="Shuffled epochs of stored features, against other readers."
)
@click.option(
    "--tokens", is_flag=True, help="Features of every token, 32 x 384 a row, instead of pooled ones of 384."
)
@click.option(
    "--mean-tokens",
    type=click.FloatRange(4, 100),
    metavar="N",
    help="Features of the tokens of texts that have N of them on average and 128 at the most, stored without "
    "padding, and with it.",
)
@click.option(
    "--rows",
    type=click.IntRange(100),
    metavar="N",
    help="Rows in the store.  [default: 1000000, or 40000 with --tokens, 10000 with --mean-tokens]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Rows in a batch.  [default: 4096, or 256 with tokens]",
)
@repetitions_option(3)
@report_options
def batches(
    tokens: bool,
    mean_tokens: float | None,
    rows: int | None,
    batch_size: int | None,
    repetitions: int,
    output: str,
    compare: str | None,
    as_json: bool,
) -> None:
    """A shuffled epoch of random features from disk, by enc and by what is installed.

    The others are DuckDB, datasets, Lance and a torch DataLoader.
    """
    from ..benchmarks import bench_token_rows
    from ..benchmarks.bench_batches import run

    if mean_tokens is not None:
        write(
            bench_token_rows.run(
                mean_tokens=mean_tokens,
                rows=rows or 10_000,
                batch_size=batch_size or 256,
                repetitions=repetitions,
                say=note,
            ),
            output,
            compare,
            as_json,
        )
        return
    default_rows, default_batch = (40_000, 256) if tokens else (1_000_000, 4096)
    results = run(
        tokens=tokens,
        rows=rows or default_rows,
        batch_size=batch_size or default_batch,
        repetitions=repetitions,
        say=note,
    )
    write(results, output, compare, as_json)


@command.command("heads", cls=EncCommand, short_help="Training heads, against scikit-learn and a torch loop.")
@click.argument("sources", nargs=-1, metavar="[TRAIN]…")
@source_options
@click.option("--valid", multiple=True, metavar="FILE", help="With TRAIN: validation rows.")
@click.option(
    "--label-column",
    default="label",
    show_default=True,
    metavar="NAME",
    help="With TRAIN: column of the 0/1 label.",
)
@model_option("With TRAIN: ")
@click.option(
    "--rows",
    type=click.IntRange(100),
    default=200_000,
    show_default=True,
    help="Rows of random pooled features.",
)
@click.option(
    "--token-rows",
    type=click.IntRange(100),
    default=10_000,
    show_default=True,
    help="Rows of random token features.",
)
@click.option("--batch-size", type=click.IntRange(1), default=1024, show_default=True, help="Rows a step.")
@repetitions_option(3)
@report_options
def heads(sources: tuple[str, ...], output: str, compare: str | None, as_json: bool, **values: Any) -> None:
    """Training heads on random features: enc against scikit-learn and a plain torch loop, as installed.

    With TRAIN… and --valid: the job of a well-known tutorial, which encodes all texts again in each epoch,
    against the same with stored features (the recipe flat32).
    """
    from ..benchmarks.bench_heads import run, run_tutorial
    from ..store import SourceError

    if not sources:
        names = ("rows", "token_rows", "batch_size", "repetitions")
        write(run(**{name: values[name] for name in names}, say=note), output, compare, as_json)
        return
    if not values["valid"]:
        raise SourceError("the tutorial's job has validation rows: pass them with --valid FILE")
    results = run_tutorial(
        source_of(sources, values),
        source_of(values["valid"], values, query=None),
        model=values["model"],
        label_column=values["label_column"],
        repetitions=values["repetitions"],
        say=note,
    )
    write(results, output, compare, as_json)


@command.command(
    "fine-tune",
    cls=EncCommand,
    context_settings={"ignore_unknown_options": True},
    short_help="Training the whole model, against a plain Trainer.",
)
@repetitions_option(1)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["enc", "plain", "padded", "frozen"]),
    help="Leave out the others, but for heads.",
)
@click.option(
    "--layers",
    metavar="LIST",
    help="Heads of so many upper layers beside the others: 1,2,4.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Do each job with N seeds, and tell the mean and the deviation of its metrics.",
)
@report_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF FINE-TUNE]…")
def fine_tune(
    arguments: tuple[str, ...],
    repetitions: int,
    only: tuple[str, ...],
    layers: str | None,
    seeds: int,
    output: str,
    compare: str | None,
    as_json: bool,
) -> None:
    """A job of `enc fine-tune`, against a plain Trainer script, heads of the upper layers, and the best
    linear head on frozen features.

    \b
    enc bench fine-tune --task_name mrpc --data_dir MRPC --model minilm --num_train_epochs 3 --output bench
    enc bench fine-tune --only enc --only frozen --layers 1,2,4 --seeds 3 … --output bench
    """
    from ..benchmarks.bench_finetune import CONTENDERS, run

    chosen = [CONTENDERS[name] for name in only or CONTENDERS]
    with contextlib.redirect_stdout(sys.stderr):  # trainers print
        results = run(
            list(arguments),
            contenders=chosen,
            layers=_numbers_of_layers(layers),
            seeds=seeds,
            repetitions=repetitions,
            say=note,
        )
    write(results, output, compare, as_json)


def _numbers_of_layers(text: str | None) -> list[int]:
    """The numbers of a list with commas. Raises SourceError for anything else."""
    from ..store import SourceError

    words = text.split(",") if text is not None else []
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise SourceError(f"cannot read --layers '{text}'; write numbers of layers from 1 up, such as 1,2,4")
    return list(dict.fromkeys(map(int, words)))


@command.command("start", cls=EncCommand, short_help="How long whole commands take that have little to do.")
@model_option()
@repetitions_option(5)
@report_options
def start(model: str, repetitions: int, output: str, compare: str | None, as_json: bool) -> None:
    """How long whole commands take that have little to do, as multiples of the import of torch.

    The commands work on made-up texts in a folder of their own, with the backend known.
    """
    from ..benchmarks.bench_start import run

    write(run(model=model, repetitions=repetitions, say=note), output, compare, as_json)


@command.command("features", cls=EncCommand, short_help="Writing features of rows, against copies.")
@click.option(
    "--rows", type=click.IntRange(1), default=1_000_000, show_default=True, help="Of known texts, made up."
)
@repetitions_option(3)
@report_options
def features(rows: int, repetitions: int, output: str, compare: str | None, as_json: bool) -> None:
    """Writing the features of known texts beside their columns, against copies, and a join by DuckDB."""
    from ..benchmarks.bench_features import run

    write(run(rows=rows, repetitions=repetitions, say=note), output, compare, as_json)


@command.command("score", cls=EncCommand, short_help="Scoring files, against a copy and usual libraries.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]…")
@source_options
@model_option("Of the new texts: ")
@click.option(
    "--rows", type=click.IntRange(1), default=1_000_000, show_default=True, help="Of known texts, made up."
)
@click.option(
    "--texts", type=click.IntRange(1), default=2000, show_default=True, help="Of new texts, from SOURCE…."
)
@click.option(
    "--max-length", type=click.IntRange(2), default=128, show_default=True, help="Tokens of a text."
)
@repetitions_option(3)
@report_options
def score(
    sources: tuple[str, ...],
    model: str,
    rows: int,
    texts: int,
    max_length: int,
    repetitions: int,
    output: str,
    compare: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Scoring known texts, against copying the file; and with SOURCE…, new texts against usual libraries."""
    from ..benchmarks.bench_score import run_known, run_new

    if not sources and not values["query"]:
        write(run_known(rows=rows, repetitions=repetitions, say=note), output, compare, as_json)
        return
    found = run_new(
        source_of(sources, values),
        model=model,
        texts=texts,
        max_length=max_length,
        repetitions=repetitions,
        say=note,
    )
    write(found, output, compare, as_json)
