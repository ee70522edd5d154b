"""The trainer of a run, set up as its options say."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import EarlyStoppingCallback, EvalPrediction, PrinterCallback, TrainerCallback

from .glue_metrics import LEGACY
from .options import FineTuneOptions, is_main_process
from .progress import LogSaid, ProgressTold
from .text_sets import FineTuneData
from .trainer import FineTuneTrainer


def trainer_of(
    model: Any, options: FineTuneOptions, sets: FineTuneData, tokenizer: Any, say: Callable[[str], None]
) -> FineTuneTrainer:
    """The trainer of a model on the sets of a run; ``options.training`` is completed for it.

    Where transformers shows no bar, progress is told, and what it logs is said in lines.
    """
    training, patience = options.training, options.data.early_stopping_patience
    best = (training.metric_for_best_model or "").removeprefix("eval_")
    if best or patience:
        names = {short: name for name, short in LEGACY.items()}
        training.metric_for_best_model = names.get(best, best) or sets.classes.best_metric
        training.greater_is_better = training.metric_for_best_model not in ("loss", "mse")

    def computed(prediction: EvalPrediction) -> dict[str, float]:
        logits = prediction.predictions
        if isinstance(logits, tuple):
            logits = logits[0]
        trainer.last_logits = np.asarray(logits, np.float32)
        return sets.classes.computed(trainer.last_logits, np.asarray(prediction.label_ids))

    takes_type_ids = "token_type_ids" in _parameters(model)
    for name, rows in sets.sets.items():
        rows.takes_type_ids = takes_type_ids
        if name != "train":
            rows.longest_first()
    callbacks: list[TrainerCallback] = [EarlyStoppingCallback(patience)] if patience else []
    trainer = FineTuneTrainer(
        model=model,
        args=training,
        train_dataset=sets.sets.get("train"),
        eval_dataset=sets.sets.get("validation"),
        processing_class=tokenizer,
        compute_metrics=computed,
        callbacks=callbacks,
        layer_decay=options.model.layerwise_lr_decay,
    )
    if training.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
        if is_main_process(training):
            trainer.add_callback(ProgressTold(lambda: trainer.last_loss))
            trainer.add_callback(LogSaid(say))
    return trainer


def _parameters(model: Any) -> Any:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(base.forward).parameters
