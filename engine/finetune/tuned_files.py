"""A fine-tuned model as its files tell it: labels, record, and the weights of its head, as NumPy arrays.

Nothing here needs torch or transformers: the head of a model of a known architecture is found by
the names of its weights, so that it is used without the model being built.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from ...store import HeadError, ModelError
from ...store.places import is_url
from ..heads.layouts import HeadLayout, layout_of
from ..heads.weight_files import read_weights

RECORD = "enc.json"
"""In a fine-tuned model's folder: what its configuration does not say of how it is used."""
_TASKS = {
    "regression": "regression",
    "single_label_classification": "single-label",
    "multi_label_classification": "multi-label",
}
"""Names of tasks, see :data:`engine.heads.tasks.TASKS`, by ``problem_type`` of a configuration."""


@dataclass(frozen=True)
class TunedFiles:
    """What a fine-tuned model's folder says of its use."""

    weights: dict[str, np.ndarray]
    """Of its head, float32: dense.weight [hidden, hidden], dense.bias, classifier.weight [outputs, hidden],
    classifier.bias.
    """
    activation: str
    """Between the two layers; see :func:`engine.heads.dense.activated`."""
    task: str
    """``single-label``, ``multi-label`` or ``regression``."""
    names: tuple[str, ...]
    """Names of the outputs, in their order."""
    labels: tuple[Any, ...]
    """The user's labels in that order, in their type; a regression has none."""
    max_length: int
    """Tokens that were kept of a text in training. The model itself may take fewer."""
    record: dict[str, Any]
    """All of :data:`RECORD`; empty where the folder has none."""


def is_tuned(folder: str | Path) -> bool:
    """Whether a folder holds a model rather than a head."""
    if is_url(folder):
        return False
    return (Path(folder) / "config.json").is_file() and not (Path(folder) / "head.json").is_file()


def read_tuned(folder: Path) -> TunedFiles:
    """Read a fine-tuned model's folder.

    Raises ModelError for a model without a classifier, of an architecture that is not known, or with
    weights that are missing or not finite, and HeadError for a damaged record.
    """
    config = _read_json(folder / "config.json", ModelError)
    layout = layout_of(config.get("model_type"))
    if not any("SequenceClassification" in name for name in config.get("architectures") or ()):
        raise ModelError(
            f"'{folder}' holds an encoder without a classifier; `enc train-head` or `enc fine-tune` make one"
        )
    weights = _read_weights(folder, layout)
    names = _names(config, len(weights["classifier.weight"]), folder)
    default = "regression" if len(names) == 1 else "single-label"
    task = _TASKS.get(config.get("problem_type") or "", default)
    record = _read_json(folder / RECORD, HeadError) if (folder / RECORD).is_file() else {}
    labels = tuple(record.get("labels", names)) if task != "regression" else ()
    if task != "regression" and len(labels) != len(names):
        raise HeadError(f"'{folder / RECORD}' is damaged: {len(labels)} labels for {len(names)} outputs")
    return TunedFiles(weights, layout.activation, task, names, labels, record.get("max_length", 128), record)


def _names(config: dict[str, Any], outputs: int, folder: Path) -> tuple[str, ...]:
    by_number = config.get("id2label") or {str(number): f"LABEL_{number}" for number in range(outputs)}
    names = tuple(by_number[number] for number in sorted(by_number, key=int))
    if len(names) != outputs:
        raise ModelError(
            f"the classifier in '{folder}' has {outputs} outputs, its config.json has {len(names)} labels"
        )
    return names


def _read_weights(folder: Path, layout: HeadLayout) -> dict[str, np.ndarray]:
    wanted = [
        f"{module}.{kind}" for module in (layout.dense, layout.classifier) for kind in ("weight", "bias")
    ]
    found: dict[str, np.ndarray] = {}
    try:
        for path in sorted(folder.glob("model*.safetensors")):
            read = read_weights(path, wanted)
            found |= {name: one.astype(np.float32, copy=False) for name, one in read.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"the weights in '{folder}' are damaged: {str(error).splitlines()[0]}") from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ModelError(f"'{folder}' lacks weights of its classifier: {', '.join(missing[:3])}")
    for name in wanted:
        if not np.isfinite(found[name]).all():
            raise ModelError(f"the weights in '{folder}' are damaged: {name} is not finite")
    dense_weight, dense_bias, weight, bias = (found[name] for name in wanted)
    hidden = weight.shape[-1]
    shapes = (dense_weight.shape, dense_bias.shape, bias.shape)
    if shapes != ((hidden, hidden), (hidden,), weight.shape[:1]):
        raise ModelError(f"the weights in '{folder}' are damaged: the shapes of its head do not fit")
    return {
        "dense.weight": dense_weight,
        "dense.bias": dense_bias,
        "classifier.weight": weight,
        "classifier.bias": bias,
    }


def _read_json(path: Path, kind: type[HeadError] | type[ModelError]) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise kind(f"'{path}' is damaged: {error}") from error
    return values
