"""`enc fine-tune`"""

import contextlib
import itertools
import json
import os
import sys
from typing import Any

import click

from .command import EncCommand, set_debug
from .config_file import values_of, without_config
from .options import json_option
from .painting import command_painter, tuned_report
from .text import rows_of
from .voice import is_quiet, note, say_nothing


class _PassingCommand(EncCommand):
    """Hands its options on as they are, because another parser reads them."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params = [p for p in self.params if p.name != "debug"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take --debug out, unless a value follows: then it is the option that transformers has."""
        kept = []
        args, file = without_config(args)
        if file is not None:
            args = [*args, *_words_of_config(file, args, ctx)]
        for word, after in itertools.pairwise([*args, "--"]):
            if word != "--debug" or not after.startswith("--"):
                kept.append(word)
        set_debug(ctx, len(kept) < len(args))
        return super().parse_args(ctx, kept)


def _words_of_config(file: str, args: list[str], ctx: click.Context) -> list[str]:
    """The options in a file, but for those on the command line, as words of it."""
    given = {word.partition("=")[0].lstrip("-").replace("_", "-") for word in args if word.startswith("--")}
    words: list[str] = []
    for name, value in values_of(file, ctx).items():
        if name in given:
            continue
        if name == "json":
            words += ["--json"] if value else []
            continue
        parts = value if isinstance(value, list) else [value]
        words += [f"--{name}", *map(str, parts)]
    return words


@click.command(
    "fine-tune",
    cls=_PassingCommand,
    short_help="Train the whole model, as run_glue.py does.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.option(
    "--all-options", is_flag=True, help="List the options, but for those of transformers' TrainingArguments."
)
@json_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[RUN_GLUE OPTIONS]…")
def command(all_options: bool, as_json: bool, arguments: tuple[str, ...]) -> None:
    """Fine-tune a model for classification or regression, with run_glue.py's command line as it stands.

    \b
    enc fine-tune --model_name_or_path minilm --task_name mrpc --data_dir MRPC --do_train --do_eval \\
        --max_seq_length 128 --learning_rate 2e-5 --num_train_epochs 3 --output_dir tuned
    enc fine-tune --model bert-base-chinese --train-file train.tsv --validation-file dev.tsv \\
        --do-train --do-eval --output-dir tuned

    Options are written with underscores or dashes, and may stand in one JSON file. There are those of
    --all-options and all of transformers' TrainingArguments, also by the names that older releases
    had. Batches are of texts of like length, and bf16 is used where the processor or GPU has it,
    unless --train_sampling_strategy random or --bf16 False say otherwise.

    \b
    A run that was killed goes on from its last checkpoint when it is started again with the same data
    and options; else its folder is refused.
    Several processes: torchrun --standalone --nproc_per_node 2 --no-python enc fine-tune …
    """
    if all_options:
        _list_options()
        return
    from ..engine.finetune.early_checks import check_early

    check_early(arguments)
    if "transformers" not in sys.modules and os.environ.get("RANK", "0") == "0":
        note("loading torch and transformers")
    from ..engine.finetune.options import is_main_process, parse_options
    from ..engine.finetune.run import fine_tune

    options = parse_options(arguments)
    is_wanted = options.data.report and os.environ.get("ENC_REPORT", "1") != "0"
    paint = command_painter(is_wanted and is_main_process(options.training))
    blocks: list[str] = []

    def show(block: str) -> None:
        blocks.append(block)
        click.echo(block)

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        result = fine_tune(options, note, say_nothing if as_json or is_quiet() else show)
    if not is_main_process(options.training):
        return
    if paint and (options.training.do_train or options.training.do_eval):
        note(tuned_report(result.output_dir, paint, result.judged))
    if as_json:
        click.echo(json.dumps({"output_dir": result.output_dir, **result.metrics}))
        return
    figures = _figures(result.metrics)
    if figures and not any("eval metrics" in block for block in blocks):
        click.echo("  ".join(figures))
    for path in result.predictions:
        click.echo(f"predictions are in '{path}'")
    if options.training.do_train:
        click.echo(
            f"model saved in '{result.output_dir}'; "
            f"`enc score … --model {result.output_dir}` scores Parquet files with it"
        )
    if result.feature_set:
        click.echo(
            f"feature set '{result.feature_set}' registered; fill it with "
            f"`enc build-features … --model {result.output_dir} "
            f"--max-length {options.data.max_seq_length} --store {options.model.also_features}`"
        )


def _list_options() -> None:
    from ..engine.finetune.option_fields import option_names

    for number, (group, options) in enumerate(option_names().items()):
        if number:
            click.echo()
        click.echo(f"{group}:")
        click.echo(rows_of([(f"--{name}", "", text) for name, text in options]))


def _figures(metrics: dict[str, Any]) -> list[str]:
    """Names and figures of an evaluation, but for times."""
    shown = []
    for key, value in metrics.items():
        name = key.removeprefix("eval_")
        is_time = "per_second" in name or "runtime" in name
        if key.startswith("eval_") and isinstance(value, float) and not is_time:
            shown.append(f"{name} {value:.4f}")
    return shown
