"""`enc train-head`"""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common

if TYPE_CHECKING:
    from ..engine.train import EpochResult, LabelCounts
    from ..store import FeatureTable, Source


@click.command("train-head", cls=common.EncCommand, short_help="Train a classifier on stored features.")
@click.argument("train", nargs=-1, metavar="TRAIN…")
@common.store_option
@click.option("--features", metavar="NAME", help="Feature set to train on.  [default: the only one]")
@click.option("--output", required=True, type=click.Path(), metavar="DIR", help="Folder for the head.")
@click.option("--valid", multiple=True, metavar="FILE", help="Validation rows; may be given several times.")
@click.option("--valid-where", metavar="SQL", help="Condition on the validation rows, of --valid or else of TRAIN.")
@click.option("--valid-fraction", type=float, help="Hold out this share of TRAIN's texts, in place of --valid.")
@click.option("--label-column", default="label", show_default=True, metavar="NAME", help="Column of the label.")
@common.source_options
@click.option("--head", default="linear", show_default=True, metavar="KIND", help="Kind of head: linear.")
@click.option("--optimizer", type=click.Choice(["adamw", "sgd"]), default="adamw", show_default=True, help="SGD has momentum.")
@click.option("--epochs", type=int, default=10, show_default=True, help="Passes over the training rows.")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Rows a step.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Step size.")
@click.option("--weight-decay", type=float, default=1e-2, show_default=True, help="Pull of the weights towards zero.")
@click.option("--momentum", type=float, default=0.9, show_default=True, help="Of SGD.")
@click.option("--standardize/--no-standardize", default=True, show_default=True, help="Scale features by the training rows.")
@click.option("--seed", type=int, default=42, show_default=True, help="Of initial weights, order and --valid-fraction.")
@click.option("--build", is_flag=True, help="Encode texts that have no features yet.")
@common.backend_options
@common.json_option
def command(train: tuple[str, ...], output: str, build: bool, as_json: bool, **values: Any) -> None:
    """Train a classifier on stored features, and save it as a head.

    Labels may be any text or integers. The last line's figures are of the weights that are saved.
    """
    from ..engine.model import require_replaceable
    from ..engine.train import TrainConfig, train_head
    from ..store import open_feature_set

    require_replaceable(Path(output))
    train_source = common.source_of(train, values)
    valid_source = _valid_source(train_source, values)
    names = ("head", "optimizer", "epochs", "batch_size", "learning_rate", "weight_decay", "momentum", "standardize", "seed")
    config = TrainConfig(**{name: values[name] for name in names})
    table = open_feature_set(values["store"], values["features"])
    if build:
        _build(table, [train_source, *([valid_source] if valid_source else [])], values)
        table.refresh()
    say = common.note if as_json else click.echo
    head = train_head(
        train_source,
        table,
        valid=valid_source,
        valid_fraction=values["valid_fraction"],
        label_column=values["label_column"],
        config=config,
        on_data=lambda *sets: say(_counts_text(*sets)),
        on_epoch=lambda result: say(_epoch_text(result, config.epochs)),
    )
    head = head.replace(record={**head.record, "command": shlex.join(["enc", *sys.argv[1:]])})
    head.save(output)
    metrics = head.metrics
    say(f"accuracy {metrics['accuracy']:.4f} (majority class {metrics['majority_rate']:.4f}), macro F1 {metrics['f1_macro']:.4f}")
    say(f"head saved in '{output}'")
    if as_json:
        click.echo(json.dumps({**head.metrics, "labels": list(head.labels.values), "output": output}, ensure_ascii=False))


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


def _counts_text(*sets: "LabelCounts") -> str:
    lines = []
    for counts in sets:
        shown = ", ".join(f"{label}: {rows:,}" for label, rows in list(counts.counts.items())[:20])
        left_out = [
            f"{rows:,} {why}" for rows, why in ((counts.unlabelled, "without label"), (counts.rejected, "rejected")) if rows
        ]
        lines.append(
            (counts.name, f"{counts.rows:,}", f"rows ({shown})" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
        )
    return common.rows_of(lines)


def _epoch_text(result: "EpochResult", epochs: int) -> str:
    return (
        f"epoch {result.epoch:>{len(str(epochs))}}/{epochs}  "
        f"train loss {result.train_loss:.4f} accuracy {result.train_accuracy:.4f}  "
        f"valid loss {result.valid_loss:.4f} accuracy {result.valid_accuracy:.4f}  {result.seconds:.2f} s"
    )
