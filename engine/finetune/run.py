"""Training the whole model: what run_glue.py does, on transformers' Trainer."""

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from ..heads.weight_files import share_weights
from .cached_model import begin_at_states
from .judged import JudgedRows, judged_rows
from .options import FineTuneOptions, is_main_process
from .preparation import Say, prepare
from .results import (
    RESULT_FILES,
    evaluate,
    predict,
    read_metrics,
    register,
    show_block,
    write_record,
)
from .run_folder import RUN_RECORD, Start, partial_checkpoints, write_run
from .sequence_model import load_model
from .set_up import trainer_of
from .text_sets import FineTuneData, TextSet
from .trainer import FineTuneTrainer

_LOGGING_DIR = "TENSORBOARD_LOGGING_DIR"
_JUDGED = 10_000


@dataclass(frozen=True)
class FineTuned:
    """What a run of :func:`fine_tune` did."""

    output_dir: str
    metrics: dict[str, float] = field(default_factory=dict)
    """The figures of all_results.json."""
    predictions: tuple[str, ...] = ()
    """Files of predictions."""
    feature_set: str | None = None
    """Name of the feature set in which the tuned encoder was registered."""
    judged: JudgedRows | None = None
    """What the model says of the last validation set, where it has classes and was evaluated."""


def fine_tune(options: FineTuneOptions, say: Say = lambda _: None, show: Say = lambda _: None) -> FineTuned:
    """Train, evaluate and predict as the options say, and write the results to the output folder.

    ``say`` is told what happens, in lines, and ``show`` is given the figures in the blocks that run_glue.py
    prints. The options are left as they are. Raises SourceError, LabelError and ModelError for what cannot be
    read, used or done, before training begins, and DivergedError where training diverges.
    """
    # The trainer writes into its arguments, and these are the caller's.
    options = replace(options, training=copy.copy(options.training))
    training = options.training
    training.remove_unused_columns = False  # of datasets, which the sets of rows are not
    ready = prepare(options, say)
    output, sets, start = ready.output, ready.sets, ready.start
    set_seed(training.seed)
    trains = training.do_train and not start.is_finished
    model = load_model(ready.folder, ready.config, sets.classes, options.model, ready.spec, trains=trains)
    if trains and options.model.cached:
        begin_at_states(model, options.model.freeze_layers)
    metrics: dict[str, float] = read_metrics(output) if start.is_finished else {}
    judged = None
    with _environment(_LOGGING_DIR, options.logging_dir):
        trainer = trainer_of(model, options, sets, ready.tokenizer, say)
        if trains:
            _clear(training, start)  # not before all else is known to be in order
            if is_main_process(training):
                write_run(output, ready.run, finished=False)
            metrics |= _train(trainer, start, sets.sets["train"], show)
            _save(trainer, options)
            if is_main_process(training):
                write_record(output, options, sets, ready.length, metrics)
                write_run(output, ready.run, finished=True)
        if training.do_eval:
            metrics |= evaluate(trainer, sets, show)
            judged = _judged(trainer, sets, ready.tokenizer)
        predictions = tuple(predict(trainer, sets, name) for name in sets.sets if name.startswith("test"))
    registered = None
    if training.do_train and is_main_process(training):
        registered = _complete(trainer, options, sets, ready.length, metrics)
    return FineTuned(str(training.output_dir), metrics, predictions, registered, judged)


def _judged(trainer: FineTuneTrainer, sets: FineTuneData, tokenizer: Any) -> JudgedRows | None:
    """What the trained model says of the validation set that was evaluated last."""
    names = [name for name in sets.sets if name.startswith("validation")]
    if not names or trainer.last_logits is None or not is_main_process(trainer.args):
        return None
    return judged_rows(trainer.last_logits, sets.sets[names[-1]], sets.classes.names, tokenizer, _JUDGED)


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable during a block, unless the value is None."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


def _clear(training: TrainingArguments, start: Start) -> None:
    """Delete partial checkpoints, or all when starting afresh, with the results of an older run."""
    output = Path(training.output_dir or ".")
    if training.distributed_state is not None:
        training.distributed_state.wait_for_everyone()  # until all processes have looked at the folder
    with training.main_process_first(desc="clearing checkpoints"):
        if not is_main_process(training):
            return
        for path in partial_checkpoints(output, start):
            shutil.rmtree(path)
        if start.checkpoint is None:
            (output / RUN_RECORD).unlink(missing_ok=True)
            for pattern in RESULT_FILES:
                for path in output.glob(pattern):
                    path.unlink()


def _train(trainer: FineTuneTrainer, start: Start, rows: TextSet, show: Say) -> dict[str, float]:
    result = trainer.train(resume_from_checkpoint=str(start.checkpoint) if start.checkpoint else None)
    metrics = {**result.metrics, "train_samples": len(rows)}
    show_block(trainer, "train", metrics, show)
    trainer.save_metrics("train", metrics)
    trainer.save_state()
    return metrics


def _save(trainer: FineTuneTrainer, options: FineTuneOptions) -> None:
    """Write the model, as one that plain transformers loads."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        trainer.model = trainer.model_wrapped = model = model.merge_and_unload()
    trainer.save_model()
    if not is_main_process(options.training):
        return
    folder = Path(options.training.output_dir or ".")
    share_weights(folder)
    if options.model.save_bin:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")


def _public_name(name: str | None) -> str | None:
    """A model or data set as others may read of it: of a path on this disk, the last part."""
    return (
        Path(name).name
        if name and ("\\" in name or Path(name).exists() or Path(name).is_absolute())
        else name
    )


def _complete(
    trainer: FineTuneTrainer,
    options: FineTuneOptions,
    sets: FineTuneData,
    length: int,
    metrics: dict[str, float],
) -> str | None:
    """Write what tells how the model came about; the name of the feature set, where one is registered."""
    output = Path(options.training.output_dir or ".")
    write_record(output, options, sets, length, metrics)
    trainer.create_model_card(
        finetuned_from=_public_name(options.model.model_name_or_path),
        tasks="text-classification",
        dataset=_public_name(sets.title),
    )
    if options.model.also_features is None:
        return None
    return register(output, options.model.also_features, length)
