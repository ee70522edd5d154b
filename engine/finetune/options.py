"""The command line of ``run_glue.py``, of any release, as options of :mod:`engine.finetune.run`.

transformers' own parser reads it, from its TrainingArguments and the two classes here. Before that,
what older releases called otherwise gets today's name.
"""

import contextlib
import dataclasses
import io
import json
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.training_args import ParallelMode

from ...store import SourceError
from ..encode.devices import cpu_has_bf16


def _option(default: Any, text: str, *aliases: str) -> Any:
    """A field of the parser, with the ways of writing it that the parser would not make itself."""
    return field(default=default, metadata={"help": text, **({"aliases": list(aliases)} if aliases else {})})


@dataclass(frozen=True)
class ModelOptions:
    """What is trained."""

    model_name_or_path: str | None = _option(None, "A local folder, 'minilm', or a hub id.", "--model")
    config_name: str | None = _option(None, "Another folder or id for the configuration.")
    tokenizer_name: str | None = _option(None, "Another folder or id for the tokenizer.")
    cache_dir: str | None = _option(None, "Where the hub's files are kept.")
    use_fast_tokenizer: bool = _option(True, "Always so here.")
    model_revision: str = _option("main", "Of a hub id.")
    token: str | None = _option(None, "For the hub.", "--use_auth_token")
    trust_remote_code: bool = _option(False, "Refused: no code from a model's folder is run.")
    ignore_mismatched_sizes: bool = _option(
        False, "Begin with a new classifier where the model's has other classes."
    )
    model_type: str | None = _option(None, "Of old releases; the model's configuration says it.")
    do_lower_case: bool = _option(False, "Of old releases; the model's tokenizer does what it was made for.")
    head_init: str | None = _option(
        None, "A linear head on cls features of the same model, which the classifier begins as."
    )
    freeze_layers: int = _option(0, "Keep the embeddings and so many layers as they are.")
    layerwise_lr_decay: float = _option(1.0, "Each layer learns at so much of the rate of the one above it.")
    lora: bool = _option(
        False,
        "Train low-rank changes of the attention's weights alone, with peft; they are merged in the end.",
    )
    lora_r: int = _option(8, "Rank of LoRA's changes.")
    lora_alpha: int = _option(16, "LoRA's scale, over the rank.")
    lora_dropout: float = _option(0.1, "Dropout before LoRA's changes.")
    save_bin: bool = _option(False, "Write pytorch_model.bin beside model.safetensors.")
    also_features: str | None = _option(None, "A store: register a feature set of the tuned encoder in it.")


@dataclass(frozen=True)
class DataOptions:
    """On which texts."""

    task_name: str | None = _option(
        None, "One of GLUE's nine; leave it out for labels of your own.", "--task"
    )
    data_dir: str | None = _option(None, "Folder of the task's TSV files.")
    dataset_name: str | None = _option(None, "A data set of the hub, or a folder of one.")
    dataset_config_name: str | None = _option(None, "Its configuration.")
    train_file: str | None = _option(None, "TSV, CSV, JSON lines or Parquet.")
    validation_file: str | None = _option(None, "The same.")
    test_file: str | None = _option(None, "The same; needs no labels.")
    text_column: str | None = _option(None, "Column of the text.")
    pair_column: str | None = _option(None, "Column of the second text of a pair.")
    label_column: str | None = _option(None, "Column of the label.")
    max_seq_length: int = _option(128, "Tokens kept of a text or pair.", "--max_length")
    pad_to_max_length: bool = _option(False, "Pad every batch to max_seq_length.")
    overwrite_cache: bool = _option(False, "There is none.")
    preprocessing_num_workers: int | None = _option(None, "The tokenizer uses all cores.")
    max_train_samples: int | None = _option(None, "The first so many rows.")
    max_eval_samples: int | None = _option(None, "The first so many rows.", "--max_val_samples")
    max_predict_samples: int | None = _option(None, "The first so many rows.", "--max_test_samples")
    overwrite_output_dir: bool = _option(False, "Begin anew in a folder that is not empty.")
    early_stopping_patience: int | None = _option(
        None, "End after so many evaluations without a better one; keeps the best."
    )


@dataclass(frozen=True)
class FineTuneOptions:
    """All of a command line."""

    model: ModelOptions
    data: DataOptions
    training: TrainingArguments
    arguments: tuple[str, ...]
    """As they were given, without tokens."""


_RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "warmup_ratio": "warmup_steps",
    "push_to_hub_token": "hub_token",
    "gradient_checkpointing": "activation_checkpointing",
    "use_auth_token": "token",
    "overwrite_output": "overwrite_output_dir",
    "max_val_samples": "max_eval_samples",
    "max_test_samples": "max_predict_samples",
    "max_length": "max_seq_length",
    "model": "model_name_or_path",
    "task": "task_name",
}
"""Options of older releases, and short names, by today's."""
_REPLACED: dict[str, Callable[[bool], list[str]]] = {
    "group_by_length": lambda on: ["--train_sampling_strategy", "group_by_length" if on else "random"],
    "adafactor": lambda on: ["--optim", "adafactor"] if on else [],
    "evaluate_during_training": lambda on: ["--eval_strategy", "steps"] if on else [],
    "overwrite_output": lambda on: ["--overwrite_output_dir", str(on)],
    "save_safetensors": lambda on: [] if on else ["--save_bin"],
}
"""Flags of older releases that became the value of an option."""


def parse_options(arguments: Sequence[str]) -> FineTuneOptions:
    """Read a command line, or the one ``.json`` file that it names.

    Raises SourceError for an option that there is not, a value that cannot be one, and options that
    do not go together.
    """
    given = list(arguments)
    if len(given) == 1 and given[0].endswith(".json"):
        given = _from_json(Path(given[0]))
    words = _renamed(given)
    groups: Any = [ModelOptions, DataOptions, TrainingArguments]
    parser = HfArgumentParser(groups, allow_abbrev=False, add_help=False)
    model, data, training = _parsed(parser, words)
    if model.trust_remote_code:
        raise SourceError("enc runs no code from a model's folder; leave out --trust_remote_code")
    if not model.model_name_or_path:
        raise SourceError("which model? pass --model_name_or_path with a folder, 'minilm' or a hub id")
    return FineTuneOptions(model, data, training, _without_secrets(arguments))


def option_names() -> dict[str, list[tuple[str, str]]]:
    """Name and help of the options by group, for people."""
    groups = {"model": ModelOptions, "data": DataOptions}
    return {
        name: [(f.name, f.metadata["help"]) for f in dataclasses.fields(group)]
        for name, group in groups.items()
    }


def _without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """The words with stars for tokens: they are written to the model's folder."""

    def secret(option: str) -> bool:
        return option.startswith("--") and option.replace("-", "_").endswith("_token")

    kept = []
    for before, word in zip(["", *words], words, strict=False):
        name, equals, _ = word.partition("=")
        value = "***" if secret(before) and not word.startswith("--") else word
        kept.append(f"{name}=***" if equals and secret(name) else value)
    return tuple(kept)


def _from_json(path: Path) -> list[str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        items = values.items()
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(f"'{path}' cannot be read as a JSON object of options: {error}") from error
    words = []
    for name, value in items:
        if value is not None:
            words += [f"--{name}", *([str(v) for v in value] if isinstance(value, list) else [str(value)])]
    return words


def _renamed(words: list[str]) -> list[str]:
    """The words with every option by its present name, underscores in it, and every flag with its value."""
    flags, renamed, rest = _flags(), [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            renamed.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            rest.insert(0, value)
        name = name.replace("-", "_")
        on = not (name.startswith("no_") and name[3:] in flags)
        name = name if on else name[3:]
        name = _RENAMED.get(name, name)
        if name in _REPLACED or name in flags:
            if rest and rest[0].lower() in _TRUTHS:
                on = on == _TRUTHS[rest.pop(0).lower()]
            renamed += _REPLACED[name](on) if name in _REPLACED else [f"--{name}", str(on)]
        elif name == "logging_dir" and rest:
            os.environ["TENSORBOARD_LOGGING_DIR"] = rest.pop(0)  # where transformers looks for it now
        else:
            renamed.append(f"--{name}")
    return renamed


_TRUTHS = {
    text: truth
    for truth, texts in ((True, "true yes 1 on t y"), (False, "false no 0 off f n"))
    for text in texts.split()
}


def _flags() -> set[str]:
    """Names of the options that are on or off."""
    names = {"no_cuda", "gradient_checkpointing", *_REPLACED}
    for group in (ModelOptions, DataOptions, TrainingArguments):
        names |= {name for name, kind in typing.get_type_hints(group).items() if kind in (bool, bool | None)}
    return names


def _parsed(parser: HfArgumentParser, words: list[str]) -> Any:
    """The three groups of options, with the defaults that differ from transformers' own."""
    given = {word[2:] for word in words if word.startswith("--")}
    if "train_sampling_strategy" not in given:
        words = [*words, "--train_sampling_strategy", "group_by_length"]
    if "output_dir" not in given:
        raise SourceError("where to? pass --output_dir with a folder for the model and its results")
    if "early_stopping_patience" in given:
        words = [*words, *_for_early_stopping(given)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            namespace, left = parser.parse_known_args(words)
            if left:
                raise SourceError(
                    f"there is no option {', '.join(w for w in left if w.startswith('-')) or ', '.join(left)}"
                )
            cuda = torch.cuda.is_available() and not namespace.use_cpu
            if not {"bf16", "fp16"} & given:
                namespace.bf16 = (
                    torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_has_bf16()
                )
            if not torch.accelerator.is_available():
                namespace.use_cpu = True  # else transformers would take bf16 to be a GPU's
            if "dataloader_pin_memory" not in given:
                namespace.dataloader_pin_memory = cuda
            if "disable_tqdm" not in given:
                namespace.disable_tqdm = not sys.stderr.isatty()
            return parser.parse_dict(vars(namespace))
    except SystemExit as error:
        raise SourceError(
            (said.getvalue().strip().splitlines() or ["options"])[-1].partition("error: ")[2]
        ) from error
    except (ValueError, TypeError, ImportError) as error:
        raise SourceError(str(error).strip().splitlines()[0]) from error


def _for_early_stopping(given: set[str]) -> list[str]:
    """What else early stopping needs: evaluations, checkpoints at the same steps, and the best of them in the end."""
    words = ["--load_best_model_at_end", "True"]
    if "eval_strategy" not in given:
        words += ["--eval_strategy", "epoch"]
    if "save_strategy" not in given and "eval_strategy" not in given:
        words += ["--save_strategy", "epoch"]
    return words


def is_main_process(training: TrainingArguments) -> bool:
    """Whether this process writes the results: of several, the first."""
    return training.parallel_mode != ParallelMode.DISTRIBUTED or training.process_index == 0
