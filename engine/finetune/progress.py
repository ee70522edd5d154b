"""How far training and evaluations are, told to who listens, and the figures on the way, said in lines."""

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


class LogSaid(TrainerCallback):
    """Says what is logged during training: a line for the loss, and one for each evaluation."""

    def __init__(self, say: Callable[[str], None]):
        self._say, self._trains = say, False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """From now on, what is logged is of training."""
        self._trains = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """What is evaluated after training is a result, which is shown as such."""
        self._trains = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Say figures by their names, but for times."""
        line = log_line(logs or {})
        if self._trains and line:
            self._say(line)


def log_line(logs: dict[str, Any]) -> str:
    """What a line says of what transformers logs; empty where that is no loss and no evaluation."""
    is_evaluation = "eval_loss" in logs
    if not is_evaluation and "loss" not in logs:
        return ""
    told = {name.removeprefix("eval_"): value for name, value in logs.items() if name not in _UNTOLD}
    figures = [
        f"{name.replace('_', ' ')} {_figure(name, value)}"
        for name, value in told.items()
        if not any(time in name for time in ("runtime", "per_second"))
    ]
    kind = "validation" if is_evaluation else "training"
    return f"epoch {logs.get('epoch', 0.0):.2f}: {kind} {', '.join(figures)}"


_UNTOLD = ("epoch", "total_flos", "num_input_tokens_seen")


def _figure(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2e}" if name == "learning_rate" else f"{value:.4f}"
