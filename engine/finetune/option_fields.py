"""The options that enc adds to transformers' TrainingArguments, and the numbers that options take.

Nothing here needs torch or transformers, so that a mistake is told before these are loaded.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...store import SourceError


def _option(default: Any, text: str, *aliases: str) -> Any:
    """A field of the parser; ``aliases`` are other ways of writing it."""
    metadata: dict[str, Any] = {"help": text}
    if aliases:
        metadata["aliases"] = list(aliases)
    return field(default=default, metadata=metadata)


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
    cached: str | None = _option(
        None, "A store: compute what --freeze_layers keeps once into it, and begin each epoch from there."
    )
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
    report: bool = _option(True, "Write report.html into the output folder; ENC_REPORT=0 leaves it out.")
    early_stopping_patience: int | None = _option(
        None, "End after so many evaluations without a better one; keeps the best."
    )


@dataclass(frozen=True)
class Numbers:
    """The numbers that an option takes."""

    kind: type[int] | type[float]
    least: float
    most: float
    has_least: bool = True
    """Whether ``least`` itself is one of them."""
    has_most: bool = True

    def __contains__(self, value: float) -> bool:
        above = value >= self.least if self.has_least else value > self.least
        below = value <= self.most if self.has_most else value < self.most
        return above and below

    def __str__(self) -> str:
        kind = "a whole number" if self.kind is int else "a number"
        first = f"from {self.least:g}" if self.has_least else f"above {self.least:g}"
        last = f"to {self.most:.10g}" if self.has_most else f"below {self.most:.10g}"
        return f"{kind} {first} {last}"


_MANY = 10**9
_COUNT, _AMOUNT = Numbers(int, 1, _MANY), Numbers(float, 0, _MANY)
_STEPS = Numbers(float, 0, _MANY, has_least=False)
_SHARE = Numbers(float, 0, 1, has_most=False)
NUMBERS = {
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": Numbers(float, 0, 1, has_least=False),
    "data_seed": Numbers(int, 0, 2**32 - 1),
    "dataloader_num_workers": Numbers(int, 0, 1024),
    "early_stopping_patience": _COUNT,
    "eval_accumulation_steps": _COUNT,
    "eval_delay": _AMOUNT,
    "eval_steps": _STEPS,
    "freeze_layers": Numbers(int, 0, 10_000),
    "gradient_accumulation_steps": _COUNT,
    "label_smoothing_factor": _SHARE,
    "layerwise_lr_decay": Numbers(float, 0, 1, has_least=False),
    "learning_rate": Numbers(float, 0, 1000),
    "logging_steps": _STEPS,
    "lora_alpha": _COUNT,
    "lora_dropout": _SHARE,
    "lora_r": Numbers(int, 1, 65_536),
    "max_eval_samples": Numbers(int, 1, 10**12),
    "max_grad_norm": _AMOUNT,
    "max_predict_samples": Numbers(int, 1, 10**12),
    "max_seq_length": Numbers(int, 3, 1_000_000),
    "max_steps": Numbers(int, -1, _MANY),
    "max_train_samples": Numbers(int, 1, 10**12),
    "neftune_noise_alpha": _AMOUNT,
    "num_train_epochs": _STEPS,
    "per_device_eval_batch_size": Numbers(int, 1, 1_000_000),
    "per_device_train_batch_size": Numbers(int, 1, 1_000_000),
    "save_steps": _STEPS,
    "save_total_limit": Numbers(int, 0, _MANY),
    "seed": Numbers(int, 0, 2**32 - 1),
    "warmup_steps": _AMOUNT,
    "weight_decay": Numbers(float, 0, 1000),
}
"""By name of the option. A sequence needs three tokens: two special ones and one of text."""


def require_numbers(values: Mapping[str, Any]) -> None:
    """Raise SourceError, naming the option, for a number or its text that is none of :data:`NUMBERS`.

    A text that is no number at all is left to the parser.
    """
    for name, numbers in NUMBERS.items():
        value = values.get(name)
        if value is None:
            continue
        try:
            number = numbers.kind(value)
        except ValueError:
            continue
        if number not in numbers:  # not a number is in no range
            raise SourceError(f"--{name} is {value}; it must be {numbers}")


def option_names() -> dict[str, list[tuple[str, str]]]:
    """Name and help of the options by group, for people."""
    groups = {"model": ModelOptions, "data": DataOptions}
    return {
        name: [(one.name, one.metadata["help"]) for one in dataclasses.fields(group)]
        for name, group in groups.items()
    }
