"""`enc fine-tune`"""

import contextlib
import json
import sys
from typing import Any

import click

from ..cli import common


class _PassingCommand(common.EncCommand):
    """Hands its options on as they are: they are those of another parser."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params = [p for p in self.params if p.name != "debug"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take --debug out, where it is not the option of that name that transformers has, which takes a value."""
        alone = [
            i
            for i, word in enumerate(args)
            if word == "--debug" and (args[i + 1 :] or ["--"])[0].startswith("--")
        ]
        common.set_debug(ctx, bool(alone))
        return super().parse_args(ctx, [word for i, word in enumerate(args) if i not in alone])


@click.command(
    "fine-tune",
    cls=_PassingCommand,
    short_help="Train the whole model, as run_glue.py does.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.option(
    "--all-options", is_flag=True, help="List the options, but for those of transformers' TrainingArguments."
)
@common.json_option
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
    A run that was killed goes on from its last checkpoint when it is started again.
    Several processes: torchrun --standalone --nproc_per_node 2 --no-python enc fine-tune …
    """
    from ..engine.finetune.options import is_main_process, option_names, parse_options
    from ..engine.finetune.run import fine_tune

    if all_options:
        for group, options in option_names().items():
            click.echo(f"\n{group}:" if group != "model" else f"{group}:")
            click.echo(common.rows_of([(f"--{name}", "", text) for name, text in options]))
        return
    options = parse_options(arguments)
    common.find_local_modules()
    with (
        contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    ):  # the trainer prints
        result = fine_tune(options, say=common.note)
    if not is_main_process(options.training):
        return
    if as_json:
        click.echo(json.dumps({"output_dir": result.output_dir, **result.metrics}))
        return
    figures = {
        key.removeprefix("eval_"): value for key, value in result.metrics.items() if key.startswith("eval_")
    }
    shown = [
        f"{key} {value:.4f}"
        for key, value in figures.items()
        if isinstance(value, float) and "per_second" not in key and "runtime" not in key
    ]
    if shown:
        click.echo("  ".join(shown))
    for path in result.predictions:
        click.echo(f"predictions are in '{path}'")
    if options.training.do_train:
        click.echo(
            f"model saved in '{result.output_dir}'; `enc score … --model {result.output_dir}` scores Parquet files with it"
        )
    if result.feature_set:
        click.echo(
            f"feature set '{result.feature_set}' registered; fill it with `enc build-features … --model {result.output_dir} "
            f"--max-length {options.data.max_seq_length} --store {options.model.also_features}`"
        )
