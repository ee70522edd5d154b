"""What is shown of a fine-tuned model: its record, and the log of its training."""

import json
from pathlib import Path
from typing import Any

from ...store import ReportError
from ..finetune.tuned_files import RECORD
from .runs import Run

_TIMES = ("per_second", "runtime", "total_flos")


def tuned_run(folder: Path) -> Run:
    """Read the folder of a fine-tuned model. Raises ReportError where its record is damaged."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        judged_first = sorted(record["metrics"].items(), key=lambda one: not one[0].startswith("eval_"))
        metrics = {
            name.removeprefix("eval_"): value
            for name, value in judged_first
            if not any(time in name for time in _TIMES)
        }
        facts = {
            "task": str(record["task_name"] or "own labels"),
            "tokens kept": str(record["max_length"]),
        }
        if "arguments" in record:  # not of merged models, and not of those on the hub
            facts["command"] = " ".join(["enc fine-tune", *map(str, record["arguments"])])
        labels = [str(label) for label in record["labels"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"'{folder / RECORD}' is damaged ({error}); fine-tune the model again") from error
    missing = [
        "What the model says of single rows is not kept in its folder: `enc fine-tune … --do_eval` writes a "
        "report with it, and so does this command of a file that was scored with --proba --label-column."
    ]
    return Run(folder.name, facts, metrics, labels, _history(folder, missing), missing=missing)


def _history(folder: Path, missing: list[str]) -> list[dict[str, Any]]:
    """Losses and figures by epoch: of training as they were logged, of evaluations as they were made."""
    path = folder / "trainer_state.json"
    if not path.is_file():
        return []
    try:
        logged = json.loads(path.read_text(encoding="utf-8"))["log_history"]
        rows: dict[float, dict[str, Any]] = {}
        for line in logged:
            row = rows.setdefault(float(line["epoch"]), {"epoch": float(line["epoch"])})
            if "loss" in line:
                row["train_loss"] = float(line["loss"])
            for name, value in line.items():
                figure = name.removeprefix("eval_")
                is_time = any(time in name for time in _TIMES) or figure == "samples"
                if name.startswith("eval_") and isinstance(value, (int, float)) and not is_time:
                    row[f"valid_{figure}"] = float(value)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        missing.append(f"{path.name} is damaged, and left out.")
        return []
    kept = [row for _, row in sorted(rows.items()) if len(row) > 1]
    return kept if len(kept) > 1 else []
