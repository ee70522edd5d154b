"""What fine-tuning writes beside the model: figures, predictions, and how it all came about."""

import contextlib
import io
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...store import Store, default_name
from ..encode.checkpoint import checkpoint_of
from ..heads.tasks import REGRESSION
from .glue_metrics import legacy_metrics
from .options import FineTuneOptions, is_main_process
from .text_sets import FineTuneData
from .trainer import FineTuneTrainer
from .tuned_files import RECORD

RESULT_FILES = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    RECORD,
    "*_results.json",
    "eval_results.txt",
    "predict_results*.txt",
    "trainer_state.json",
    "report.html",
)
"""What a run leaves in its output folder, but for configuration, tokenizer and checkpoints."""


def show_block(
    trainer: FineTuneTrainer, name: str, metrics: dict[str, float], show: Callable[[str], None]
) -> None:
    """Show figures in the block that run_glue.py prints, ``***** eval metrics *****`` and below it a line
    each; in the main process alone.
    """
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        trainer.log_metrics(name, metrics)
    if printed.getvalue():
        show(printed.getvalue().rstrip("\n"))


def evaluate(trainer: FineTuneTrainer, sets: FineTuneData, show: Callable[[str], None]) -> dict[str, float]:
    """Evaluate on all validation sets; the figures, by the names that eval_results.json has.

    Figures of MNLI's second set end in ``_mm``. eval_results.txt has the names of older releases.
    """
    metrics: dict[str, float] = {}
    trainer.last_logits = None
    lines: dict[str, float] = {}
    for name, rows in sets.sets.items():
        if not name.startswith("validation"):
            continue
        suffix = "_mm" if name.endswith("_mm") else ""
        found = {**trainer.evaluate(eval_dataset=rows), "eval_samples": len(rows)}  # type: ignore[arg-type]
        metrics |= {f"{key}{suffix}" if key != "epoch" else key: value for key, value in found.items()}
        figures = {key.removeprefix("eval_"): value for key, value in found.items()}
        legacy = legacy_metrics(
            {key: figures[key] for key in (*sets.classes.metrics, "combined_score") if key in figures}
        )
        prefix = ""
        if sets.glue and sets.glue.matched:
            prefix = "mnli-mm/" if suffix else "mnli/"
        lines |= {f"{prefix}{key}": value for key, value in legacy.items()}
        lines[f"{prefix}eval_loss"] = figures["loss"]
    metrics = {key: _or_none(value) for key, value in metrics.items()}
    show_block(trainer, "eval", metrics, show)
    trainer.save_metrics("eval", metrics)
    if is_main_process(trainer.args):
        text = "".join(f"{key} = {value}\n" for key, value in sorted(lines.items()))
        (Path(trainer.args.output_dir or ".") / "eval_results.txt").write_text(text, encoding="utf-8")
    return metrics


def _or_none(value: Any) -> Any:
    """A figure as JSON can hold it."""
    return None if isinstance(value, float) and np.isnan(value) else value


def predict(trainer: FineTuneTrainer, sets: FineTuneData, name: str) -> str:
    """Write predictions in the order of the file's rows; the index counts all of them, from 0."""
    rows, classes = sets.sets[name], sets.classes
    found = trainer.predict(rows, metric_key_prefix="predict")  # type: ignore[arg-type]
    logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
    values = np.empty_like(logits)
    values[rows.order] = logits
    task = f"_{sets.glue.name}" if sets.glue else ""
    mismatched = "-mm" if name.endswith("_mm") else ""
    path = Path(trainer.args.output_dir or ".") / f"predict_results{task}{mismatched}.txt"
    if is_main_process(trainer.args):
        if classes.task is REGRESSION:
            texts = [f"{value:.3f}" for value in values.reshape(-1)]
        else:
            texts = [classes.names[number] for number in values.argmax(-1)]
        lines = (f"{row - 1}\t{text}\n" for row, text in zip(rows.rows.tolist(), texts, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("index\tprediction\n" + "".join(lines), encoding="utf-8")
    return str(path)


def write_record(
    folder: Path, options: FineTuneOptions, sets: FineTuneData, length: int, metrics: dict[str, float]
) -> None:
    """Write how the model is used and how it came about, which its configuration does not say.

    :func:`engine.finetune.tuned_files.read_tuned` reads this record.
    """
    record = {
        "format": 1,
        "task_name": sets.glue.name if sets.glue else None,
        "labels": list(sets.classes.labels.values),
        "max_length": length,
        "text_column": sets.text_column,
        "pair_column": sets.pair_column,
        "metrics": metrics,
        "arguments": list(options.arguments),
        "versions": {package: version(package) for package in ("enc-features", "torch", "transformers")},
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_metrics(folder: Path) -> dict[str, float]:
    """The figures in the record of a finished run; none where they cannot be read."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8"))["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def register(folder: Path, store: Store | str | Path, length: int) -> str:
    """Make an empty feature set of the tuned encoder's mean-pooled features."""
    encoder = checkpoint_of(str(folder), max_length=length)
    name = default_name(encoder.spec, encoder.layer_count)
    return Store(store).create(name, encoder.spec).name
