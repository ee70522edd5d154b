"""What a run is: the data and the options that its result depends on."""

import dataclasses
import hashlib
import json
from typing import Any

from ...store import FeatureSpec
from .option_fields import DataOptions
from .options import FineTuneOptions
from .text_sets import FineTuneData, TextSet

_OF_THE_MODEL = ("lora", "lora_r", "lora_alpha", "lora_dropout", "freeze_layers", "layerwise_lr_decay")
_OF_THE_BEST = ("eval_", "save_", "metric_for_best_model", "greater_is_better")
"""Options that matter where the best checkpoint is kept. Names, or the beginnings of names."""
_WITHOUT_EFFECT = (
    "batch_eval_metrics", "bf16_full_eval", "dataloader_in_order", "dataloader_multi", "dataloader_num",
    "dataloader_per", "dataloader_pin", "dataloader_pre", "ddp_", "debug", "disable_tqdm", "do_eval",
    "do_predict", "do_train", "enable_jit", "eval_accumulation_steps", "eval_do_concat", "eval_on_start",
    "eval_use_gather", "fp16_full_eval", "hub_", "include_", "label_names", "length_column_name",
    "local_rank", "log_", "logging_", "output_dir", "per_device_eval_batch_size", "prediction_loss_only",
    "project", "push_to_hub", "remove_unused_columns", "report_to", "restore_callback",
    "resume_from_checkpoint", "run_name", "save_on_each_node", "save_only_model", "save_total_limit",
    "skip_memory_metrics", "torch_empty_cache", "trackio_", "use_cpu",
)  # fmt: skip
"""Options of TrainingArguments on which the trained weights do not depend. Beginnings of names."""


def run_of(
    options: FineTuneOptions, sets: FineTuneData, spec: FeatureSpec, config: Any, length: int
) -> dict[str, Any]:
    """The record of a run as JSON values: ``data`` by set, ``model``, and ``options``.

    ``spec`` is that of the model's cls features, ``config`` the model's configuration, and ``length``
    the tokens that are kept of a text. The validation rows count where they choose the best checkpoint.
    """
    names = ["train"]
    if options.training.load_best_model_at_end:
        names += [name for name in sets.sets if name == "validation"]
    configured = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    text = json.dumps(configured, sort_keys=True, default=str)
    return {
        "data": {name: _data(sets.sets[name]) for name in names},
        "model": {
            "weights": spec.weights,
            "tokenizer": spec.tokenizer,
            "configuration": hashlib.sha256(text.encode()).hexdigest(),
            "classes": list(sets.classes.names),
        },
        "options": _options(options, length),
    }


def _data(rows: TextSet) -> dict[str, Any]:
    return {
        "source": rows.stage.source.title,
        "rows": len(rows),
        "fingerprint": rows.fingerprint(),
        "digest": rows.digest(),
    }


def _options(options: FineTuneOptions, length: int) -> dict[str, Any]:
    """The options that change the result, with their values."""
    model, data, training = options.model, options.data, options.training
    keeps_best = training.load_best_model_at_end
    kept: dict[str, Any] = {name: getattr(model, name) for name in _OF_THE_MODEL}
    if model.cached:  # what is frozen has no dropout then; records of before have no such entry
        kept["cached"] = True
    kept["head_init"] = _digest_of_head(model.head_init) if model.head_init else None
    kept["max_seq_length"] = length
    for field in dataclasses.fields(DataOptions):
        if field.name in ("pad_to_max_length", "max_train_samples", "early_stopping_patience"):
            kept[field.name] = getattr(data, field.name)
    for name, value in training.to_dict().items():
        if name.startswith(_WITHOUT_EFFECT) or (name.startswith(_OF_THE_BEST) and not keeps_best):
            continue
        kept[name] = value
    kept["number_of_processes"] = training.world_size
    return json.loads(json.dumps(kept, default=str))


def _digest_of_head(folder: str) -> str:
    with open(f"{folder}/head.safetensors", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
