"""Training the whole model: what run_glue.py does, on transformers' Trainer."""

import inspect
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    TrainingArguments,
    set_seed,
)

from ...store import ModelError, SourceError
from ...store.duck import workspace
from ..encode.checkpoint import Checkpoint, checkpoint_of
from ..encode.facts import longest_input, quiet
from ..encode.model_files import model_folder
from ..heads.head import Head
from .classes import Classes
from .glue import LEGACY
from .options import FineTuneOptions, ModelOptions, is_main_process
from .results import evaluate, predict, register, write_record
from .text_sets import FineTuneData, TextSet, read_sets
from .trainer import FineTuneTrainer, freeze
from .tuned import begin_as, class_names

Say = Callable[[str], None]
_REJECTS = "{}-rejects.parquet"


@dataclass(frozen=True)
class FineTuned:
    """What a run of :func:`fine_tune` did."""

    output_dir: str
    metrics: dict[str, float] = field(default_factory=dict)
    """As in all_results.json."""
    predictions: tuple[str, ...] = ()
    """Files of predictions."""
    feature_set: str | None = None
    """Where the tuned encoder was registered."""


def fine_tune(options: FineTuneOptions, say: Say = lambda _: None) -> FineTuned:
    """Train, evaluate and predict as the options say, and write the results to the output folder.

    Raises SourceError, LabelError and ModelError for what cannot be read, used or done; all of it
    before training begins.
    """
    training, data = options.training, options.data
    wanted = [
        name
        for name, asked in (
            ("train", training.do_train),
            ("validation", training.do_eval or training.eval_strategy != "no"),
            ("test", training.do_predict),
        )
        if asked
    ]
    if not wanted:
        raise SourceError("nothing to do: pass --do_train, --do_eval or --do_predict")
    checkpoint = _resumed(training, overwrite=data.overwrite_output_dir) if training.do_train else None
    if checkpoint:
        say(f"going on from '{checkpoint}'; --overwrite_output_dir begins anew")
    training.remove_unused_columns = False  # of datasets, which these are not
    with workspace() as con, tempfile.TemporaryDirectory(prefix="enc-") as scratch:
        hub = {
            "revision": options.model.model_revision,
            "token": options.model.token,
            "cache_dir": options.model.cache_dir,
        }
        folder = model_folder(options.model.model_name_or_path or "", **hub)
        config = AutoConfig.from_pretrained(options.model.config_name or folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(
            options.model.tokenizer_name or folder, trust_remote_code=False
        )
        length = data.max_seq_length
        longest = longest_input(config, tokenizer)
        if length > longest:
            say(f"warning: --max_seq_length {length} is more than the model takes; it is {longest} now")
            length = longest
        texts = checkpoint_of(options.model.tokenizer_name or str(folder), max_length=length, pooling="cls")
        sets = read_sets(
            con,
            data,
            wanted,
            texts.tokenizer,
            max_length=length,
            model_labels=_own_labels(config),
            scratch=Path(scratch),
            say=say,
        )
        output = Path(training.output_dir or ".")
        for rows in sets.sets.values():
            if is_main_process(training):
                say(_summary(rows, rows.stage.write_rejects(output / _REJECTS.format(rows.name))))
    set_seed(training.seed)
    model = _model(folder, config, sets.classes, options.model, texts)
    trainer = _trainer(model, options, sets, tokenizer)
    metrics: dict[str, float] = {}
    if training.do_train:
        _clear(training, checkpoint)  # not before all else is known to be in order
        metrics |= _train(trainer, checkpoint, sets.sets["train"])
        _save(trainer, options, sets, length)
    if training.do_eval:
        metrics |= evaluate(trainer, sets)
    predictions = tuple(predict(trainer, sets, name) for name in sets.sets if name.startswith("test"))
    registered = None
    if training.do_train and is_main_process(training):
        write_record(Path(training.output_dir or "."), options, sets, length, metrics)
        trainer.create_model_card(
            finetuned_from=options.model.model_name_or_path, tasks="text-classification", dataset=sets.title
        )
        if options.model.also_features:
            registered = register(output, options.model.also_features, length)
    return FineTuned(str(training.output_dir), metrics, predictions, registered)


def _resumed(training: TrainingArguments, *, overwrite: bool) -> str | None:
    """The checkpoint to go on from. Raises SourceError for a folder of other things.

    A checkpoint is whole once its trainer_state.json is, which is written last.
    """
    output, asked = Path(training.output_dir or "."), training.resume_from_checkpoint
    if asked and str(asked).lower() not in ("true", "1", "yes"):
        if not _is_whole(Path(asked)):
            raise SourceError(
                f"'{asked}' is not a whole checkpoint; leave out --resume_from_checkpoint to go on from the last one"
            )
        return str(asked)
    found = _checkpoints(output)
    whole = [path for path in found if _is_whole(path)]
    if whole and (asked or not overwrite):
        return str(whole[-1])
    if asked:
        raise SourceError(f"no checkpoint in '{output}' to go on from")
    there = set(output.iterdir()) - set(found) if output.is_dir() else set()
    others = sorted(path.name for path in there if not path.name.endswith("-rejects.parquet"))
    if others and not overwrite:
        raise SourceError(
            f"'{output}' is not empty (it has: {', '.join(others[:5])}); pass --overwrite_output_dir, or another folder"
        )
    return None


def _checkpoints(output: Path) -> list[Path]:
    """Folders of checkpoints, whole or not, by their step."""
    found = [
        path for path in output.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()
    ]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def _clear(training: TrainingArguments, checkpoint: str | None) -> None:
    """Put out of the way what a new run would take for its own: checkpoints half written, or all where it begins anew."""
    with training.main_process_first(desc="clearing checkpoints"):
        if is_main_process(training):
            for path in _checkpoints(Path(training.output_dir or ".")):
                if checkpoint is None or not _is_whole(path):
                    shutil.rmtree(path)


def _is_whole(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def _own_labels(config: Any) -> tuple[str, ...]:
    """The classes that a model knows, where they are more than transformers' placeholders."""
    names = class_names(config)
    return (
        ()
        if all(name == f"LABEL_{number}" for number, name in enumerate(names)) and len(names) > 1
        else names
    )


def _model(
    folder: Path, config: Any, classes: Classes, options: ModelOptions, texts: Checkpoint
) -> PreTrainedModel:
    """The model with a classifier for the task, in float32, ready to be trained."""
    names = classes.names
    config.num_labels = len(names) or 1
    config.problem_type = "single_label_classification" if names else "regression"
    if names:
        config.id2label, config.label2id = (
            dict(enumerate(names)),
            {name: number for number, name in enumerate(names)},
        )
    try:
        with quiet():  # that the classifier is new is no news
            model = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=options.ignore_mismatched_sizes,
            )
    except (OSError, ValueError, RuntimeError) as error:
        hint = "; pass --ignore_mismatched_sizes for a new classifier" if "mismatch" in str(error) else ""
        raise ModelError(
            f"model '{options.model_name_or_path}' cannot be loaded: {str(error).splitlines()[0]}{hint}"
        ) from error
    if options.head_init:
        head = Head.load(options.head_init)
        begin_as(model, head, texts.spec, names, [classes.number(str(value)) for value in head.labels.values])
    if options.freeze_layers:
        freeze(model, options.freeze_layers)
    return _with_lora(model, options) if options.lora else model


def _with_lora(model: PreTrainedModel, options: ModelOptions) -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError("LoRA needs peft: pip install 'enc-features[lora]'") from error
    # What is new, or was made for another task, is trained as a whole.
    heads = [
        "classifier",
        *(name for name in ("pooler", "pre_classifier") if any(name in n for n, _ in model.named_modules())),
    ]
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        modules_to_save=heads,
    )
    return peft.get_peft_model(model, config)


def _trainer(model: Any, options: FineTuneOptions, sets: FineTuneData, tokenizer: Any) -> FineTuneTrainer:
    training, patience = options.training, options.data.early_stopping_patience
    best = (training.metric_for_best_model or "").removeprefix("eval_")
    if best or patience:
        names = {short: name for name, short in LEGACY.items()}
        training.metric_for_best_model = names.get(best, best) or sets.classes.best_metric
        training.greater_is_better = training.metric_for_best_model not in ("loss", "mse")

    def computed(prediction: EvalPrediction) -> dict[str, float]:
        logits = (
            prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        )
        return sets.classes.computed(np.asarray(logits, np.float32), np.asarray(prediction.label_ids))

    takes_type_ids = "token_type_ids" in _parameters(model)
    for name, rows in sets.sets.items():
        rows.takes_type_ids = takes_type_ids
        if name != "train":
            rows.longest_first()
    return FineTuneTrainer(
        model=model,
        args=training,
        train_dataset=sets.sets.get("train"),
        eval_dataset=sets.sets.get("validation"),
        processing_class=tokenizer,
        compute_metrics=computed,
        callbacks=[EarlyStoppingCallback(patience)] if patience else None,
        layer_decay=options.model.layerwise_lr_decay,
    )


def _parameters(model: Any) -> Any:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(base.forward).parameters


def _train(trainer: FineTuneTrainer, checkpoint: str | None, rows: TextSet) -> dict[str, float]:
    result = trainer.train(resume_from_checkpoint=checkpoint)
    metrics = {**result.metrics, "train_samples": len(rows)}
    trainer.log_metrics("train", metrics)
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    return metrics


def _save(trainer: FineTuneTrainer, options: FineTuneOptions, sets: FineTuneData, length: int) -> None:
    """Write the model, as one that plain transformers loads."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        trainer.model = trainer.model_wrapped = model = model.merge_and_unload()
    trainer.save_model()
    if options.model.save_bin and is_main_process(options.training):
        torch.save(model.state_dict(), Path(options.training.output_dir or ".") / "pytorch_model.bin")


def _summary(rows: TextSet, rejects: Path | None) -> str:
    left_out = [f"{rows.unlabelled:,} without label"] * bool(rows.unlabelled)
    if rejects:
        left_out.append(f"{rows.stage.rejected:,} rejected, listed in '{rejects}'")
    cut = int(rows.tokens.truncated.sum())
    length = f"{rows.tokens.lengths.mean():.0f} tokens on average" + f", {cut:,} cut" * bool(cut)
    return f"{rows.name}: {len(rows):,} rows of {rows.stage.source.title}, {length}" + (
        f"; left out: {', '.join(left_out)}" if left_out else ""
    )
