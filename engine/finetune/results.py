"""What fine-tuning writes beside the model: figures, predictions, and how it all came about."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ...store import Store, default_name
from ..encode.checkpoint import checkpoint_of
from ..heads.tasks import REGRESSION
from .glue import legacy_metrics
from .options import FineTuneOptions, is_main_process
from .text_sets import FineTuneData
from .trainer import FineTuneTrainer
from .tuned import RECORD


def evaluate(trainer: FineTuneTrainer, sets: FineTuneData) -> dict[str, float]:
    """Evaluate on all validation sets; eval_results.json has the figures of both of MNLI's, eval_results.txt the older names."""
    metrics: dict[str, float] = {}
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
        prefix = f"mnli{'-mm' * bool(suffix)}/" if sets.glue and sets.glue.matched else ""
        lines |= {f"{prefix}{key}": value for key, value in {**legacy, "eval_loss": figures["loss"]}.items()}
    metrics = {
        key: None if isinstance(value, float) and np.isnan(value) else value for key, value in metrics.items()
    }  # type: ignore[misc]
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    if is_main_process(trainer.args):
        text = "".join(f"{key} = {value}\n" for key, value in sorted(lines.items()))
        (Path(trainer.args.output_dir or ".") / "eval_results.txt").write_text(text, encoding="utf-8")
    return metrics


def predict(trainer: FineTuneTrainer, sets: FineTuneData, name: str) -> str:
    """Write predictions in the order of the file's rows; the index counts all of them, from 0."""
    rows, classes = sets.sets[name], sets.classes
    found = trainer.predict(rows, metric_key_prefix="predict")  # type: ignore[arg-type]
    logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
    values = np.empty_like(logits)
    values[rows.order] = logits
    task = f"_{sets.glue.name}" if sets.glue else ""
    path = Path(trainer.args.output_dir or ".") / f"predict_results{task}{'-mm' * name.endswith('_mm')}.txt"
    if is_main_process(trainer.args):
        regression = classes.task is REGRESSION
        texts = (
            [f"{v:.3f}" for v in values.reshape(-1)]
            if regression
            else [classes.names[i] for i in values.argmax(-1)]
        )
        lines = (f"{row - 1}\t{text}\n" for row, text in zip(rows.rows.tolist(), texts, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("index\tprediction\n" + "".join(lines), encoding="utf-8")
    return str(path)


def write_record(
    folder: Path, options: FineTuneOptions, sets: FineTuneData, length: int, metrics: dict[str, float]
) -> None:
    """Write what :func:`engine.finetune.tuned.load_classifier` wants to know beside the configuration, and where it came from."""
    record = {
        "format": 1,
        "task_name": sets.glue.name if sets.glue else None,
        "labels": list(sets.classes.values.values),
        "max_length": length,
        "text_column": sets.text_column,
        "pair_column": sets.pair_column,
        "metrics": metrics,
        "arguments": list(options.arguments),
        "versions": {package: version(package) for package in ("enc-features", "torch", "transformers")},
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def register(folder: Path, store: Store | str | Path, length: int) -> str:
    """Make an empty feature set of the tuned encoder's mean-pooled features."""
    encoder = checkpoint_of(str(folder), max_length=length)
    name = default_name(encoder.spec, encoder.layer_count)
    return Store(store).create(name, encoder.spec).name
