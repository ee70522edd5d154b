"""How far training and evaluations are, told to who listens."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...store.progress import tell


class ProgressTold(TrainerCallback):
    """Tells steps of training, with the loss, and batches of an evaluation."""

    def __init__(self, loss: Callable[[], float]):
        self._loss, self._batches = loss, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell where training begins: after what a checkpoint has had."""
        tell("training", state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell where training is."""
        self._batches = 0
        tell("training", state.global_step, state.max_steps, f"loss {self._loss():.4f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell that training is over, also where it was stopped early."""
        tell("training", state.max_steps, state.max_steps)

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Tell where an evaluation or a prediction is."""
        if eval_dataloader is None:
            return
        self._batches += 1
        tell("evaluating", self._batches, len(eval_dataloader))
        if self._batches == len(eval_dataloader):
            self._batches = 0
