"""`enc train-head --auto`: a head chosen without an expert."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .config_file import typed_command
from .grouped_help import options
from .painting import command_painter, head_report, saved_head
from .text import figures_table, size_text, table_text
from .values import backend_values, key_values, source_of
from .voice import is_quiet, note, say_nothing

if TYPE_CHECKING:
    from ..engine.auto.found import AutoFound, Tried
    from ..store import Source

F = TypeVar("F", bound=Callable[..., Any])
_OF_AUTO = {"minutes": "--minutes", "model": "--model", "max_length": "--max-length", "prefix": "--prefix"}
# Beside those of auto alone.
_ALLOWED = {
    *("auto", "train", "store", "output", "label_columns", "task", "text_column", "pair_column", "pairs"),
    *("query", "where", "allowed_paths", "format", "has_header", "metric", "class_weights", "folds", "seed"),
    *("backend", "precision", "device", "verify_model", "as_json", "build", "debug", "has_report"),
}
_FOLDS = 5


auto_options = options(
    click.option(
        "--auto",
        is_flag=True,
        help="Choose everything: encode what is needed, try heads from the simplest on, judge them by "
        "folds, and keep the simplest that is as good as the best.",
    ),
    click.option(
        "--minutes",
        type=float,
        metavar="M",
        help="With --auto: the time for all of it, encoding included.  [default: 10]",
    ),
    click.option(
        "--model",
        metavar="NAME",
        help="With --auto: minilm, a local folder, or a hub id.  [default: minilm, which is English]",
    ),
    click.option(
        "--max-length",
        type=int,
        help="With --auto: tokens kept of a text.  [default: the model's, up to 128]",
    ),
    click.option(
        "--prefix",
        metavar="TEXT",
        help="With --auto: put before every text.  [default: as the model's recipe says]",
    ),
    heading="A head without an expert",
)


def refuse_options_of_auto() -> None:
    """Raise SourceError where options of the search were given without it."""
    from ..store import SourceError

    given = _given()
    for name, flag in _OF_AUTO.items():
        if name in given:
            raise SourceError(f"{flag} is for --auto; add that, or leave out {flag}")


def run_auto(train: tuple[str, ...], output: str, *, as_json: bool, values: dict[str, Any]) -> None:
    """Search for a head, save it, and tell what was found."""
    from ..engine import load_encoder
    from ..engine.auto.config import AutoConfig
    from ..engine.auto.run import auto_head
    from ..engine.heads.output import require_output
    from ..engine.train.columns import require_columns
    from ..store import Store

    say = note if as_json else click.echo
    tell = say_nothing if is_quiet() else say  # of what goes on; the results are said in any case
    _require_options_of_auto()
    weights = values["class_weights"]
    config = AutoConfig(
        minutes=10.0 if values["minutes"] is None else values["minutes"],
        folds=_FOLDS if values["folds"] is None else values["folds"],
        metric=values["metric"],
        class_weights="balanced"
        if weights == ("balanced",)
        else key_values(weights, "--class-weights") or None,
        seed=values["seed"],
    )
    source = _source(train, values)
    require_output(output)
    paint = command_painter(values["has_report"])
    require_columns(source, values["label_columns"])
    model = {} if values["model"] is None else {"model": values["model"]}
    asked: Any = {name: values[name] for name in ("max_length", "prefix") if values[name] is not None}
    found = auto_head(
        source,
        values["store"],
        config=config,
        label_column=values["label_columns"],
        task=values["task"],
        load=lambda setting: load_encoder(**model, **backend_values(values), **setting),
        asked=asked,
        say=tell,
    )
    head = found.head.replace(record={**found.head.record, "command": typed_command()})
    table = Store(values["store"]).open(head.feature_set)

    def report(folder: str) -> str:
        if not paint:
            return ""
        return head_report(folder, head, paint, table, source, None, found.tables, config.seed)

    say(found_text(found))
    for line in saved_head(head, output, found.tables, report):
        say(line)
    if as_json:
        summary = {**head.metrics, "labels": list(head.labels.values), "output": output}
        click.echo(json.dumps(summary | {"auto": head.record["auto"]}, ensure_ascii=False))


def found_text(found: "AutoFound") -> str:
    """The table, what was kept, and what would help next."""
    titles = ("", found.metric, "seconds", "kB a row", "head", "rows/s")
    most = max(one.folds for one in found.tried)
    table = table_text(titles, [_cells(one, most) for one in found.tried], right=titles[1:])
    figures = {name: value for name, value in found.head.metrics.items() if name in _shown(found)}
    encoding = f"encoding, once for all of them: {found.encoding_seconds:.1f} s"
    lines = [table, encoding, found.reason, figures_table({"held out": figures})]
    lines += [f"left: {one.name}, {one.reason}" for one in found.stopped]
    if found.next_steps:
        lines += ["next, the most promising first:", *(f"  {one}" for one in found.next_steps)]
    return "\n".join(lines)


def _cells(tried: "Tried", most_folds: int) -> tuple[str, ...]:
    mark = "*" if tried.is_kept else " "
    size = f"{tried.feature_bytes / 1000:.1f}" if tried.feature_bytes else "-"
    folds = "" if tried.folds == most_folds else f" ({tried.folds} of {most_folds} folds)"
    error = "" if tried.error is None else f" ± {tried.error:.4f}"
    rate = "-" if tried.texts_per_second is None else f"{tried.texts_per_second:,.0f}"
    return (
        f"{mark} {tried.name}{folds}",
        f"{tried.metric:.4f}{error}",
        f"{tried.seconds:.1f}",
        size,
        size_text(tried.head_bytes) if tried.head_bytes else "-",
        rate,
    )


def _shown(found: "AutoFound") -> list[str]:
    from ..engine.heads.metrics import metric_names

    return metric_names(found.head.task, found.head.outputs_count)


def _source(train: tuple[str, ...], values: dict[str, Any]) -> "Source":
    """The rows; texts of pairs are encoded apart unless --pairs says otherwise."""
    changes = {}
    if values["pair_column"] and "pairs" not in _given():
        changes["pairs"] = "separate"
    return source_of(train, values, **changes)


def _require_options_of_auto() -> None:
    from ..store import SourceError

    given = _given()
    for name in given:
        flag = given[name]
        if name.startswith("valid") or name == "test":
            raise SourceError(
                f"--auto judges by folds of TRAIN: leave out {flag}, and judge the head on other rows with "
                "`enc evaluate HEAD FILE`"
            )
        if name not in _ALLOWED and name not in _OF_AUTO:
            raise SourceError(f"--auto decides on {flag} itself; leave out {flag}, or --auto")


def _given() -> dict[str, str]:
    """The options of the command that were given, with their flags."""
    context = click.get_current_context()
    sources = click.core.ParameterSource
    given = (sources.COMMANDLINE, sources.DEFAULT_MAP)  # typed, or from --config
    return {
        option.name: option.opts[0]
        for option in context.command.params
        if option.name and context.get_parameter_source(option.name) in given
    }
