"""`enc train-head`"""

import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cli import common
from .sweep import is_sweep, path_of_l2, search_for, sweep_json

if TYPE_CHECKING:
    from ..engine import Head, TrainConfig
    from ..engine.train.examples import SetSummary
    from ..engine.train.fit import EpochResult
    from ..engine.train.solve import PathResult
    from ..store import FeatureTable, Source

_CONFIG = (
    "head",
    "optimizer",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup",
    "weight_decay",
    "momentum",
    "standardize",
    "label_smoothing",
    "metric",
    "early_stopping",
    "seed",
)
_SHOWN_CLASSES = 20
_MATRIX_CLASSES = 10


@click.command("train-head", cls=common.EncCommand, short_help="Train a head on stored features.")
@click.argument("train", nargs=-1, metavar="TRAIN…")
@common.store_option
@click.option("--features", metavar="NAME", help="Feature set to train on.  [default: the only one]")
@click.option(
    "--use", metavar="PARTS", help="Train on parts of the features: layers=9-12,pooling=mean.  [default: all]"
)
@click.option("--output", required=True, type=click.Path(), metavar="DIR", help="Folder for the head.")
@click.option("--valid", multiple=True, metavar="FILE", help="Validation rows; may be given several times.")
@click.option(
    "--valid-where", metavar="SQL", help="Condition on the validation rows, of --valid or else of TRAIN."
)
@click.option(
    "--valid-fraction", type=float, help="Hold out this share of TRAIN's texts, in place of --valid."
)
@click.option(
    "--label-column",
    "label_columns",
    multiple=True,
    default=["label"],
    show_default=True,
    metavar="NAME",
    help="Column of the label; given several times, 0/1 columns of one label each.",
)
@click.option(
    "--task",
    type=click.Choice(["single-label", "multi-label", "regression"]),
    help="What to learn.  [default: single-label; multi-label for lists and several columns]",
)
@common.source_options
@click.option(
    "--head",
    default="linear",
    show_default=True,
    metavar="KIND",
    help="linear, mlp; over token features also cnn, lstm, attention; or module:Class, a torch.nn.Module of yours.",
)
@click.option(
    "--head-args",
    multiple=True,
    metavar="ARGS",
    help="The head's arguments: hidden=256,dropout=0.2 or a JSON object.",
)
@click.option(
    "--recipe",
    type=click.Choice(["flat32"]),
    help="Defaults with a name; what is given beside it goes first.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["adamw", "sgd"]),
    default="adamw",
    show_default=True,
    help="SGD has momentum.",
)
@click.option(
    "--solver",
    type=click.Choice(["gradient", "lbfgs"]),
    default="gradient",
    show_default=True,
    help="lbfgs trains a linear head to convergence, for each --l2; optimizer, epochs and the like are not used then.",
)
@click.option(
    "--l2",
    metavar="LIST",
    help="For lbfgs: strengths of regularisation to try, such as 1,0.1,0.01.  [default: 11 from 10 to 1e-4]",
)
@click.option("--epochs", type=int, default=10, show_default=True, help="Passes over the training rows.")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Rows a step.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Step size.")
@click.option(
    "--schedule",
    type=click.Choice(["constant", "linear", "cosine"]),
    default="constant",
    show_default=True,
    help="How the step size goes on after the warmup: it stays, or falls to 0.",
)
@click.option(
    "--warmup",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of the steps in which the step size rises from 0.",
)
@click.option(
    "--weight-decay", type=float, default=1e-2, show_default=True, help="Pull of the weights towards zero."
)
@click.option("--momentum", type=float, default=0.9, show_default=True, help="Of SGD.")
@click.option(
    "--standardize/--no-standardize",
    default=True,
    show_default=True,
    help="Scale features by the training rows.",
)
@click.option(
    "--class-weights",
    multiple=True,
    metavar="WEIGHTS",
    help="balanced, or label=weight,label=weight.  [default: all the same]",
)
@click.option(
    "--label-smoothing",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of a target spread over all classes.",
)
@click.option(
    "--metric",
    metavar="NAME",
    help="Keep the epoch best by this: loss, f1, mcc, auc, spearman, ….  [default: keep the last]",
)
@click.option(
    "--early-stopping",
    type=int,
    metavar="EPOCHS",
    help="Stop after so many epochs without a better one; keep the best.",
)
@click.option(
    "--batches",
    type=click.Choice(["ram", "mapped", "streamed"]),
    help="Where features wait.  [default: by size]",
)
@click.option(
    "--sweep",
    multiple=True,
    metavar="NAME=V,V",
    help="Train all combinations: lr=1e-3,3e-3; use=layers=12,layers=9-12.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Train each with so many seeds, from --seed up.",
)
@click.option(
    "--folds",
    type=click.IntRange(0),
    default=0,
    metavar="K",
    help="Judge each by cross-validation, in place of --valid.",
)
@click.option("--ensemble", is_flag=True, help="Keep all seeds of the best setting, as one head.")
@click.option(
    "--seed", type=int, default=42, show_default=True, help="Of initial weights, order and --valid-fraction."
)
@click.option("--build", is_flag=True, help="Encode texts that have no features yet.")
@common.backend_options
@common.json_option
def command(train: tuple[str, ...], output: str, build: bool, as_json: bool, **values: Any) -> None:
    """Train a head on stored features, and save it.

    Labels may be any text or integers, lists of them, several 0/1 columns, or with --task regression
    numbers. The closing figures are of the weights that are saved.
    """
    from ..engine.heads.head import require_replaceable
    from ..engine.train.fit import train_head
    from ..store import Store

    common.find_local_modules()
    require_replaceable(Path(output))
    train_source = common.source_of(train, values)
    valid_source = _valid_source(train_source, values)
    config = _config(values)
    table = Store(values["store"]).open(values["features"])
    if build:
        _build(table, [train_source, *([valid_source] if valid_source else [])], values)
        table.refresh()
    say = common.note if as_json else click.echo
    data: dict[str, Any] = {
        "valid": valid_source,
        "valid_fraction": values["valid_fraction"],
        "label_column": values["label_columns"],
        "task": values["task"],
        "use": _use(table, values["use"]),
        "batches": values["batches"],
        "config": config,
        "on_data": lambda *sets: say(_counts_text(*sets)),
    }
    found = search_for(train_source, table, values, data, say) if is_sweep(values) else None
    head = (
        found.head
        if found
        else train_head(
            train_source,
            table,
            solver=_solver(values),
            on_epoch=lambda result: say(
                _path_text(result) if values["solver"] == "lbfgs" else _epoch_text(result, config.epochs)
            ),
            **data,
        )
    )
    head = head.replace(record={**head.record, "command": shlex.join(["enc", *sys.argv[1:]])})
    head.save(output, found.tables if found else None)
    say(_result_text(head))
    say(f"head saved in '{output}'")
    if as_json:
        summary = {**head.metrics, "labels": list(head.labels.values), "output": output}
        click.echo(json.dumps(summary | (sweep_json(found) if found else {}), ensure_ascii=False))


def _config(values: dict[str, Any]) -> "TrainConfig":
    from ..engine import TrainConfig
    from ..engine.train.config import RECIPES

    weights, context = values["class_weights"], click.get_current_context()
    recipe = RECIPES[values["recipe"]] if values["recipe"] else {}
    left_open = {
        name for name in recipe if context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT
    }
    return TrainConfig(
        **{name: recipe[name] if name in left_open else values[name] for name in _CONFIG},
        head_args=common.key_values(values["head_args"], "--head-args"),
        class_weights="balanced"
        if weights == ("balanced",)
        else common.key_values(weights, "--class-weights") or None,
    )


def _solver(values: dict[str, Any]) -> "Callable[..., Head] | None":
    if values["solver"] == "gradient":
        if values["l2"]:
            raise click.UsageError(
                "--l2 is for --solver lbfgs; with gradient descent there is --weight-decay"
            )
        return None
    from ..engine.train.solve import solve

    return partial(solve, l2=path_of_l2(values))


def _use(table: "FeatureTable", parts: str | None) -> Any:
    from ..store.parts import select_parts

    return select_parts(table.spec, parts) if parts else None


def _valid_source(train: "Source", values: dict[str, Any]) -> "Source | None":
    if values["valid"]:
        return common.source_of(values["valid"], values, query=None, where=values["valid_where"])
    if values["valid_where"]:
        return common.source_of(train.paths, values, where=values["valid_where"])  # type: ignore[arg-type]
    return None


def _build(table: "FeatureTable", sources: "list[Source]", values: dict[str, Any]) -> None:
    from ..engine import build_features, load_encoder_of
    from .build_features import summary_text

    encoder = load_encoder_of(table.spec, **common.backend_values(values))
    for source in sources:
        with common.progress_bar("encoding") as progress:
            summary = build_features(source, values["store"], encoder, name=table.name, progress=progress)
        common.note(summary_text(summary, values["store"]))


def _counts_text(*sets: "SetSummary") -> str:
    lines = []
    for rows in sets:
        shown = ", ".join(
            f"{label}: {count:,}" for label, count in list(rows.counts.items())[:_SHOWN_CLASSES]
        )
        if rows.span:
            shown = f"labels from {rows.span[0]:g} to {rows.span[1]:g}"
        left_out = [
            f"{count:,} {why}"
            for count, why in ((rows.unlabelled, "without label"), (rows.rejected, "rejected"))
            if count
        ]
        lines.append(
            (
                rows.name,
                f"{rows.rows:,}",
                f"rows ({shown})" + (f"; left out: {', '.join(left_out)}" if left_out else ""),
            )
        )
    return common.rows_of(lines)


def _path_text(result: "PathResult") -> str:
    sides = (f"{name} {_figures(getattr(result, name))}" for name in ("train", "valid"))
    return f"l2 {result.l2:<7g} {'  '.join(sides)}  {result.iterations} iterations  {result.seconds:.2f} s"


def _epoch_text(result: "EpochResult", epochs: int) -> str:
    sides = (f"{name} {_figures(getattr(result, name))}" for name in ("train", "valid"))
    return f"epoch {result.epoch:>{len(str(epochs))}}/{epochs}  {'  '.join(sides)}  {result.seconds:.2f} s"


def _figures(values: dict[str, float | None]) -> str:
    return " ".join(
        f"{name} {'undefined' if value is None else f'{value:.4f}'}" for name, value in values.items()
    )


def _result_text(head: "Head") -> str:
    """Metrics, confusion matrix of few classes, and whether the head's size suits the rows."""
    metrics = head.metrics
    counts = ("epoch", "train_rows", "valid_rows", "parameters")
    figures = {
        name: value
        for name, value in metrics.items()
        if name not in (*counts, "majority_rate", "confusion_matrix")
    }
    majority = f" (majority class {metrics['majority_rate']:.4f})" if "majority_rate" in metrics else ""
    kept = f"l2 {head.record['l2']:g}" if "l2" in head.record else f"epoch {metrics['epoch']}"
    of = f" of {head.record['figures_of']}" if "figures_of" in head.record else ""
    lines = [f"kept {kept}:{of} {_figures(figures)}{majority}"]
    if (
        head.task.name == "single-label"
        and len(head.labels) <= _MATRIX_CLASSES
        and "confusion_matrix" in metrics
    ):
        lines.append(_matrix_text([str(label) for label in head.labels.values], metrics["confusion_matrix"]))
    per_row = metrics["parameters"] / metrics["train_rows"]
    ratio = f"{per_row:,.0f}" if per_row > 10 else f"{per_row:.2g}"
    size = f"{metrics['parameters']:,} parameters for {metrics['train_rows']:,} training rows: {ratio} a row"
    rule = "the rule of thumb is between 0.5 and 10: "
    if per_row > 10:
        size += f" ({rule}a smaller head, more rows or a higher --weight-decay may generalize better)"
    elif per_row < 0.5:
        size += f" ({rule}a larger head, or features of more layers, may learn more)"
    return "\n".join([*lines, size])


def _matrix_text(labels: list[str], matrix: list[list[int]]) -> str:
    """Rows by true label, columns by predicted label."""
    table = [
        ["true \\ predicted", *labels],
        *([label, *(f"{n:,}" for n in row)] for label, row in zip(labels, matrix, strict=True)),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    aligned = [
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in table
    ]
    return "\n".join("  " + "  ".join(cells) for cells in aligned)
