"""The command line of ``run_glue.py``, of any release, as options of :mod:`engine.finetune.run`.

transformers' own parser reads it, from its TrainingArguments and the classes of
:mod:`engine.finetune.option_fields`. Before that, what older releases called otherwise gets today's
name (:mod:`engine.finetune.command_line`). Parsing changes nothing outside the options it returns.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.training_args import ParallelMode

from ...store import SourceError
from ...store.nearest import did_you_mean
from ..encode.devices import cpu_has_bf16
from .command_line import flag_names, option_values, read_words, without_secrets
from .option_fields import DataOptions, ModelOptions


@dataclass(frozen=True)
class FineTuneOptions:
    """All of a command line."""

    model: ModelOptions
    data: DataOptions
    training: TrainingArguments
    arguments: tuple[str, ...]
    """The command line as it was given, without tokens."""
    logging_dir: str | None = None
    """Folder of TensorBoard's files. transformers has no option of that name any more."""


def parse_options(arguments: Sequence[str]) -> FineTuneOptions:
    """Read a command line, or the one ``.json`` file that it names.

    Raises SourceError for an option that there is not, a value that cannot be one, and options that
    do not go together.
    """
    words, logging_dir = _without_logging_dir(read_words(arguments, flag_names(TrainingArguments)))
    groups: Any = [ModelOptions, DataOptions, TrainingArguments]
    parser = HfArgumentParser(groups, allow_abbrev=False, add_help=False)
    model, data, training = _parsed(parser, words)
    return FineTuneOptions(model, data, training, without_secrets(arguments), logging_dir)


def _without_logging_dir(words: list[str]) -> tuple[list[str], str | None]:
    value = option_values(words).get("logging_dir")
    if value == "":
        raise SourceError("--logging_dir needs a folder")
    kept = list(words)
    while "--logging_dir" in kept:
        place = kept.index("--logging_dir")
        del kept[place : place + 2]
    return kept, value


def _parsed(parser: HfArgumentParser, words: list[str]) -> Any:
    """The three groups of options, with the defaults that differ from transformers' own."""
    given = {word[2:] for word in words if word.startswith("--")}
    if "train_sampling_strategy" not in given:
        words = [*words, "--train_sampling_strategy", "group_by_length"]
    if "early_stopping_patience" in given:
        words = [*words, *_for_early_stopping(given)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            namespace, left = parser.parse_known_args(words)
            if left:
                unknown = [word for word in left if word.startswith("-")] or left
                near = did_you_mean(
                    unknown[0], (name for one in parser._actions for name in one.option_strings)
                )
                raise SourceError(f"there is no option {', '.join(unknown)}{near}")
            cuda = torch.cuda.is_available() and not namespace.use_cpu
            if not {"bf16", "fp16"} & given:
                namespace.bf16 = _has_bf16(cuda)
            if not torch.accelerator.is_available():
                namespace.use_cpu = True  # else transformers would take bf16 to be a GPU's
            if "dataloader_pin_memory" not in given:
                namespace.dataloader_pin_memory = cuda
            if "disable_tqdm" not in given:
                namespace.disable_tqdm = True  # progress is told, and shown by who listens
            return parser.parse_dict(vars(namespace))
    except SystemExit as error:
        lines = said.getvalue().strip().splitlines() or ["options"]
        raise SourceError(lines[-1].partition("error: ")[2]) from error
    except (ValueError, TypeError, ImportError) as error:
        raise SourceError(str(error).strip().splitlines()[0]) from error


def _has_bf16(cuda: bool) -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_has_bf16()


def _for_early_stopping(given: set[str]) -> list[str]:
    """The options that early stopping needs: evaluations, checkpoints with them, and the best one kept."""
    words = ["--load_best_model_at_end", "True"]
    if "eval_strategy" not in given:
        words += ["--eval_strategy", "epoch"]
    if "save_strategy" not in given and "eval_strategy" not in given:
        words += ["--save_strategy", "epoch"]
    return words


def is_main_process(training: TrainingArguments) -> bool:
    """Whether this process writes the results: of several, the first."""
    return training.parallel_mode != ParallelMode.DISTRIBUTED or training.process_index == 0
