"""`enc train-head`"""

import json
import time
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .config_file import typed_command
from .grouped_help import options
from .options import (
    backend_options,
    json_option,
    labels_option,
    pairs_option,
    report_option,
    source_options,
    store_option,
)
from .painting import command_painter, head_report, saved_head
from .sweep import is_sweep, search_for, sweep_json
from .train_head_auto import auto_options, refuse_options_of_auto, run_auto
from .train_head_options import training_options
from .train_head_ranks import join_ranks
from .train_head_text import counts_text, epoch_text, path_text, result_text
from .train_head_words import with_baseline, with_words, word_options, word_settings, words_json
from .train_options import combination_asked, config_of, grid_of, test_rows, training_rows
from .values import allows_code, backend_values
from .voice import is_quiet, note, say_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine import Encoder, Head
    from ..store import FeatureSpec, FeatureTable, Source


@click.command("train-head", cls=EncCommand, short_help="Train a head on stored features.")
@click.argument("train", nargs=-1, metavar="TRAIN…")
@store_option
@click.option("--features", metavar="NAME", help="Feature set to train on.  [default: the only one]")
@click.option(
    "--use", metavar="PARTS", help="Train on parts of the features: layers=9-12,pooling=mean.  [default: all]"
)
@click.option("--output", required=True, type=click.Path(), metavar="DIR", help="Folder for the head.")
@labels_option
@options(
    click.option(
        "--task",
        type=click.Choice(["single-label", "multi-label", "regression"]),
        help="What to learn.  [default: single-label; multi-label for lists and several columns]",
    ),
    heading="Rows",
)
@source_options
@pairs_option
@options(
    click.option(
        "--valid", multiple=True, metavar="FILE", help="Validation rows; may be given several times."
    ),
    click.option(
        "--valid-where",
        metavar="SQL",
        help="Condition on the validation rows of --valid; or else of TRAIN, to leave them out of training.",
    ),
    click.option(
        "--valid-fraction", type=float, help="Hold out this share of TRAIN's texts, in place of --valid."
    ),
    click.option(
        "--test",
        multiple=True,
        metavar="FILE",
        help="Rows on which the head that is kept is judged in the end, and that choose nothing.",
    ),
    heading="Rows to validate and test on",
)
@auto_options
@options(
    click.option(
        "--combine",
        metavar="LIST",
        help="What the head sees of pairs that are encoded separately: cosines, words, alignment (of token "
        "features), difference, product, first, second; rbf lets a linear head bend.  "
        "[default: cosines,words; and alignment of token features]",
    ),
    click.option("--combine-args", multiple=True, metavar="ARGS", help="Of rbf: components=512,seed=0."),
    heading="Pairs, each text by itself",
)
@training_options
@word_options
@options(
    click.option("--build", is_flag=True, help="Encode texts that have no features yet."),
    heading="What encodes",
)
@report_option
@backend_options
@json_option
def command(train: tuple[str, ...], output: str, build: bool, as_json: bool, **values: Any) -> None:
    """Train a head on stored features, and save it.

    Labels may be any text or integers, lists of them, several 0/1 columns, or with --task regression
    numbers. The closing figures are of the weights that are saved, and so is DIR/report.html.
    """
    from ..engine.heads.output import require_output
    from ..engine.train.columns import require_columns
    from ..store import Source, Store

    if values["auto"]:
        run_auto(train, output, as_json=as_json, values=values)
        return
    refuse_options_of_auto()
    allows_code(is_allowed=values["allow_code"])
    is_first = join_ranks(values, build=build)
    say = (note if as_json else click.echo) if is_first else say_nothing
    tell = say_nothing if is_quiet() else say  # of what goes on; the results are said in any case
    started = time.perf_counter()
    config, words = config_of(values), word_settings(values)
    train_source, valid = training_rows(train, values, say)
    test = test_rows(values)
    require_output(output)
    paint = command_painter(values["has_report"])
    table = Store(values["store"]).open(values["features"])
    grid, use = grid_of(values, config, table), _use(table, values["use"])
    sources = [one for one in (train_source, valid, test) if isinstance(one, Source)]
    for source in sources:
        require_columns(source, values["label_columns"])
    if build:
        _build(table, sources, values)
        table.refresh()
    elif values["verify_model"]:
        _encoder(table, values)
    options: dict[str, Any] = {
        "valid": valid,
        "test": test,
        "label_column": values["label_columns"],
        "task": values["task"],
        "use": use,
        "batches": values["batches"],
        "combine": combination_asked(values, train_source, use or table.spec, grid),
        "config": config,
        "on_data": lambda *sets: tell(counts_text(*sets)),
    }
    found = None
    if is_sweep(values):
        found = search_for(train_source, table, grid, values | {"output": output}, options, say)
        head = found.head
    else:
        head = _train_one(train_source, table, options, tell)
    if not is_first:
        return  # the first process saves the head
    if words:
        head, found = with_words(head, found, train_source, table, words, values["seed"], options)
    else:
        head = with_baseline(
            head, train_source, table, values["seed"], options, wanted=values["baseline"], started=started
        )
    head = head.replace(record={**head.record, "command": typed_command()})

    def report(folder: str) -> str:
        if not paint:
            return ""
        tables = found.tables if found else {}
        return head_report(folder, head, paint, table, train_source, valid, tables, config.seed)

    say(result_text(head))
    for line in saved_head(head, output, found.tables if found else None, report):
        say(line)
    if as_json:
        summary = {**head.metrics, "labels": list(head.labels.values), "output": output, **words_json(head)}
        click.echo(json.dumps(summary | (sweep_json(found) if found else {}), ensure_ascii=False))


def _train_one(
    train: "Source", table: "FeatureTable", options: dict[str, Any], say: "Callable[[str], object]"
) -> "Head":
    """One head, of which each step is told."""
    from ..engine import TrainConfig, train_head

    config = options["config"]

    def on_epoch(result: Any) -> None:
        is_epoch = isinstance(config, TrainConfig)
        say(epoch_text(result, config.epochs) if is_epoch else path_text(result))

    return train_head(train, table, on_epoch=on_epoch, **options)


def _use(table: "FeatureTable", parts: str | None) -> "FeatureSpec | None":
    from ..store.parts import select_parts

    return select_parts(table.spec, parts) if parts else None


def _build(table: "FeatureTable", sources: "list[Source]", values: dict[str, Any]) -> None:
    from ..engine import build_features
    from .build_features import summary_text

    encoder = _encoder(table, values)
    for source in sources:
        summary = build_features(source, values["store"], encoder, name=table.name)
        note(summary_text(summary, values["store"], encoder.spec.first_characters))


def _encoder(table: "FeatureTable", values: dict[str, Any]) -> "Encoder":
    """The encoder of the features. Raises ModelError where its model is another one now."""
    from ..engine import load_encoder_of

    return load_encoder_of(table.spec, **backend_values(values), say=note)
