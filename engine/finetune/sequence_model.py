"""The model that is trained: an encoder with a classifier for the task, loaded and checked."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from ...store import FeatureSpec, ModelError
from ..encode.facts import quiet
from ..heads.head import Head
from .begin import begin_as, class_names
from .classes import Classes
from .option_fields import ModelOptions
from .trainer import freeze, not_finite

_NEW_PARTS = ("classifier", "pre_classifier", "pooler", "head")
"""Parts that begin with random weights where a model has none, because they are the task's."""


def own_labels(config: Any) -> tuple[str, ...]:
    """The classes that a model knows, where they are more than transformers' placeholders."""
    names = class_names(config)
    placeholders = tuple(f"LABEL_{number}" for number in range(len(names)))
    return () if names == placeholders and len(names) > 1 else names


def load_model(
    folder: Path, config: Any, classes: Classes, options: ModelOptions, spec: FeatureSpec, *, trains: bool
) -> PreTrainedModel:
    """The model with a classifier for the task, in float32, ready to be trained or, untrained, to be used.

    ``spec`` is that of the model's cls features. Raises ModelError for a model whose weights are not
    those that its configuration asks for, or are not finite, and for one without a classifier where
    nothing is trained; and what :func:`engine.finetune.begin.begin_as` raises.
    """
    names, title = classes.names, options.model_name_or_path or ""
    config.num_labels = len(names) or 1
    config.problem_type = "single_label_classification" if names else "regression"
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: number for number, name in enumerate(names)}
    try:
        with quiet():  # that the classifier is new is no news
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                output_loading_info=True,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=options.ignore_mismatched_sizes,
            )
    except (OSError, ValueError, RuntimeError) as error:
        hint = "; pass --ignore_mismatched_sizes for a new classifier" if "mismatch" in str(error) else ""
        reason = str(error).splitlines()[0]
        raise ModelError(f"model '{title}' cannot be loaded: {reason}{hint}") from error
    _require_all_weights(title, report, may_be_new=trains)
    broken = not_finite(model)
    if broken:
        raise ModelError(
            f"model '{title}' has weights that are not finite: {_first(broken)}; get its files anew"
        )
    if not trains:
        return model
    if options.head_init:
        head = Head.load(options.head_init)
        begin_as(model, head, spec, names, [classes.number(str(value)) for value in head.labels.values])
    if options.freeze_layers:
        freeze(model, options.freeze_layers)
    return _with_lora(model, options) if options.lora else model


def _require_all_weights(title: str, report: dict[str, Any], *, may_be_new: bool) -> None:
    """Raise ModelError for weights that would be random.

    ``may_be_new`` tells whether those of the classifier may be, because it is trained.
    """
    resized = [name for name, *_ in report["mismatched_keys"]]
    random = sorted({*report["missing_keys"], *resized})
    lacking = [name for name in random if not any(part in _NEW_PARTS for part in name.split("."))]
    if lacking:
        raise ModelError(
            f"model '{title}' lacks weights that its configuration asks for: {_first(lacking)}; "
            "its config.json and its weights do not belong together"
        )
    if random and not may_be_new:
        raise ModelError(
            f"model '{title}' has no trained classifier (it lacks {_first(random)}); "
            "pass --do_train, or a fine-tuned model"
        )


def _first(names: list[str]) -> str:
    """The first three names, and how many there are."""
    return ", ".join(names[:3]) + (f", … ({len(names)} in all)" if len(names) > 3 else "")


def _with_lora(model: PreTrainedModel, options: ModelOptions) -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError("LoRA needs peft: pip install 'enc-features[lora]'") from error
    modules = [name for name, _ in model.named_modules()]
    # What is new, or was made for another task, is trained as a whole.
    trained = [
        part
        for part in _NEW_PARTS
        if part == "classifier" or any(part in name.split(".") for name in modules)
    ]
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        modules_to_save=trained,
    )
    return peft.get_peft_model(model, config)
