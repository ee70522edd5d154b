"""What the commands share: error lines, options of sources, progress, and plain tables."""

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from ..engine import Head
    from ..store import Setting, Source

Function = Callable[..., Any]
_DEBUG = "enc.debug"


class EncCommand(click.Command):
    """A command that turns errors a user can mend into one line and exit code 2; --debug shows where they began."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_remember,
                help="Show the traceback of an error.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        from ..store.errors import EncError

        try:
            return super().invoke(ctx)
        except EncError as error:
            if ctx.meta[_DEBUG]:
                traceback.print_exc()
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    set_debug(ctx, value)


def set_debug(ctx: click.Context, value: bool) -> None:
    """Whether an error shows its traceback."""
    ctx.meta[_DEBUG] = value


def options(*decorators: Function) -> Function:
    """Several click options as one decorator, in the order given."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


text_options = options(
    click.option("--text-column", metavar="NAME", help="Column of the text.  [default: sentence or text]"),
    click.option("--pair-column", metavar="NAME", help="Column of the second text of a pair."),
)
source_options = options(
    text_options,
    click.option("--query", metavar="SQL", help="A SELECT that gives the rows, in place of files."),
    click.option("--where", metavar="SQL", help="Use only the rows for which this condition holds."),
    click.option(
        "--format",
        type=click.Choice(["tsv", "csv", "jsonl", "parquet"]),
        help="Format of the files.  [default: by ending]",
    ),
)
setting_options = options(
    click.option(
        "--recipe",
        type=click.Choice(["flat32"]),
        help="A setting with a name; what is given beside it goes first.",
    ),
    click.option(
        "--pooling", metavar="LIST", help="mean, cls, max, several of them, or tokens.  [default: mean]"
    ),
    click.option(
        "--layers", metavar="LIST", help="Layers from 1, such as 6, 3,6 or 9-12; last; all.  [default: last]"
    ),
    click.option(
        "--max-length", type=int, help="Tokens kept of a text, special tokens included.  [default: 128]"
    ),
    click.option("--prefix", metavar="TEXT", help="Put before every text, such as 'query: ' for E5 models."),
    click.option(
        "--long-text",
        type=click.Choice(["truncate", "windows"]),
        help="Cut texts at max-length, or encode all of them in windows of that length and pool these.  [default: truncate]",
    ),
    click.option(
        "--stride", type=click.IntRange(0), help="Tokens that neighbouring windows share.  [default: 0]"
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float16", "float32"]),
        help="How features are stored.  [default: float16]",
    ),
)
store_option = click.option(
    "--store", required=True, type=click.Path(), metavar="DIR", help="Folder of the feature sets."
)
device_option = click.option(
    "--device", metavar="NAME", help="Where to encode: cpu, cuda, cuda:1.  [default: cuda if there is one]"
)
backend_options = options(
    click.option(
        "--backend",
        type=click.Choice(["auto", "torch", "openvino", "onnx", "tensorrt"]),
        default="auto",
        show_default=True,
        help="What encodes; auto measures on the texts at hand.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16", "int8"]),
        help="Of the encoder's matrix products; int8 is for models that `enc calibrate` quantized.  [default: by backend]",
    ),
    device_option,
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object; all else goes to stderr."
)


classifier_options = options(
    click.option("--head", type=click.Path(), metavar="DIR", help="A head made by train-head."),
    click.option(
        "--model",
        metavar="DIR",
        help="A head, or a fine-tuned model; beside --head, the head's encoder, if its folder has moved.",
    ),
)


def load_classifier(values: dict[str, Any]) -> "tuple[Head, str | None]":
    """What the values of `classifier_options` name, and the folder that its encoder has moved to, if it has."""
    from ..engine.finetune.tuned import load_classifier as load
    from ..store import SourceError

    if not (values["head"] or values["model"]):
        raise SourceError("what is to predict? pass --head DIR, or --model DIR with a fine-tuned model")
    find_local_modules()
    return load(values["head"] or values["model"]), values["model"] if values["head"] else None


def source_of(files: Sequence[str], values: dict[str, Any], **changes: Any) -> "Source":
    """A Source from the values of `source_options`."""
    from ..store import Source

    names = ("text_column", "pair_column", "query", "where", "format")
    return Source(files, **{name: values[name] for name in names} | changes)


def setting_values(values: dict[str, Any]) -> "Setting":
    """What was given of `setting_options`, as load_encoder takes it."""
    from ..store import RECIPES, Setting

    given = {name: values[name] for name in Setting.__annotations__ if values.get(name) is not None}
    return cast("Setting", {**(RECIPES[values["recipe"]] if values["recipe"] else {}), **given})


def backend_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of `backend_options`, as load_encoder takes them."""
    return {name: values[name] for name in ("backend", "precision", "device")}


def find_local_modules() -> None:
    """Let Python find the user's own heads in the current folder, after everything that is installed."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def key_values(items: Sequence[str], flag: str) -> dict[str, Any]:
    """Values of an option that takes JSON objects and ``name=value,name=value``, and may be given several times.

    A value is JSON where it reads as such; ``3,4,5`` is a list; else it is text.
    """
    values: dict[str, Any] = {}
    for item in items:
        try:
            parsed = (
                json.loads(item)
                if item.lstrip().startswith("{")
                else dict(map(_pair, re.split(r",(?=[^,=\[\]]+=)", item)))
            )
        except ValueError as error:
            raise click.BadParameter(
                f"cannot read '{item}'; write name=value,name=value or a JSON object", param_hint=flag
            ) from error
        values |= parsed
    return values


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(text)
    for json_text in (value, f"[{value}]"):
        with suppress(ValueError):
            return name.strip(), json.loads(json_text)
    return name.strip(), value


def note(message: str) -> None:
    """A line for people, on stderr."""
    click.echo(message, err=True)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of texts done, texts/s and time left on a terminal; a line every ten seconds elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _progress_lines(label)
        return
    rate = TextColumn("{task.fields[rate]}")
    with Progress(
        TextColumn(label), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task(label, total=None, rate="", visible=False)
        started = time.monotonic()

        def update(done: int, total: int) -> None:
            nonlocal started
            started = started if done else time.monotonic()
            per_second = done / max(time.monotonic() - started, 1e-9)
            bar.update(
                task,
                completed=done,
                total=total,
                visible=True,
                rate=f"{per_second:,.0f} texts/s" if done else "",
            )

        yield update


def _progress_lines(label: str, every_seconds: float = 10.0) -> Callable[[int, int], None]:
    started = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal started, last
        now = time.monotonic()
        if not done:
            started = last = now
        if done and now - last >= every_seconds:
            last, rate = now, done / (now - started)
            note(f"{label}: {done:,} of {total:,}, {rate:,.0f} texts/s, {(total - done) / rate:,.0f} s left")

    return update


def rows_of(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Lines of name, right-aligned figure and remark."""
    names = max(len(name) for name, _, _ in pairs)
    figures = max(len(figure) for _, figure, _ in pairs)
    return "\n".join(
        f"  {name:<{names}}  {figure:>{figures}}  {remark}".rstrip() for name, figure, remark in pairs
    )


def seconds_line(seconds: dict[str, float]) -> str:
    """Stages with their seconds, the total left out."""
    return ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items() if stage != "total")


def rejects_line(rejects: dict[str, int]) -> str:
    """Reasons with their rows, the most frequent first."""
    shown = [f"{rows:,} {reason}" for reason, rows in rejects.items()]
    return ", ".join(shown[:4]) + (", …" if len(shown) > 4 else "")
