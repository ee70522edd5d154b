"""A line of progress now and then, for a run that nobody sees on a terminal."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ProgressLines(TrainerCallback):
    """Says step, loss and time left about every ten seconds of training, and batches of an evaluation."""

    def __init__(
        self,
        say: Callable[[str], None],
        loss: Callable[[], float],
        *,
        every_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._say, self._loss, self._every_seconds, self._clock = say, loss, every_seconds, clock
        self._started = self._said = clock()
        self._first_step = self._batches = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to count: what a checkpoint has had took no time in this process."""
        self._started = self._said = self._clock()
        self._first_step = state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Say where training is."""
        self._batches = 0
        if not self._is_due():
            return
        done = state.global_step - self._first_step
        seconds = (self._said - self._started) / max(done, 1) * (state.max_steps - state.global_step)
        self._say(
            f"training: step {state.global_step:,} of {state.max_steps:,}, loss {self._loss():.4f}, "
            f"{seconds:,.0f} s left"
        )

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Say where an evaluation or a prediction is."""
        self._batches += 1
        if self._is_due() and eval_dataloader is not None:
            self._say(f"evaluating: batch {self._batches:,} of {len(eval_dataloader):,}")
        if eval_dataloader is not None and self._batches == len(eval_dataloader):
            self._batches = 0

    def _is_due(self) -> bool:
        now = self._clock()
        if now - self._said < self._every_seconds:
            return False
        self._said = now
        return True
