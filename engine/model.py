"""A trained head: what it needs to turn features into labels, on disk and in memory."""

import dataclasses
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..store import FeatureSpec, HeadError
from .heads import HEADS, Standardized, make_head
from .labels import Labels

FORMAT = 1
ROWS_PER_BATCH = 8192


@dataclass(frozen=True)
class Head:
    """A trained head with its labels and the setting of the features it takes.

    >>> head = Head.load("heads/reviews")
    >>> head.predict(features)  # the labels as they were given in training
    """

    kind: str
    labels: Labels
    spec: FeatureSpec
    network: Standardized
    feature_set: str
    text_column: str
    pair_column: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch: epoch, train and validation loss and accuracy, seconds."""
    record: dict[str, Any] = field(default_factory=dict)
    """How it came about: configuration, sources, versions, Delta version; not needed to use it."""

    @torch.inference_mode()
    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 [rows, classes], of features [rows, *spec.shape]."""
        if features.shape[1:] != self.spec.shape:
            raise HeadError(f"features have shape {list(features.shape[1:])}, the head takes {list(self.spec.shape)}")
        blocks = [
            torch.softmax(self.network(torch.from_numpy(features[start : start + ROWS_PER_BATCH]).float()), dim=1).numpy()
            for start in range(0, len(features), ROWS_PER_BATCH)
        ]
        return np.concatenate(blocks) if blocks else np.empty((0, len(self.labels)), np.float32)

    def predict(self, features: np.ndarray) -> list[int] | list[bool] | list[str]:
        """The most probable label of each row."""
        return self.labels.arrow().take(pa.array(self.predict_proba(features).argmax(1))).to_pylist()

    def save(self, folder: str | Path) -> Path:
        """Write head.safetensors, head.json, metrics.json and history.parquet; an older head there is replaced whole.

        Raises HeadError where the folder holds anything else.
        """
        folder = Path(folder)
        require_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        description = {
            "format": FORMAT,
            "task": "classification",
            "kind": self.kind,
            "labels": list(self.labels.values),
            "features": {"name": self.feature_set, "spec": json.loads(self.spec.to_json())},
            "text_column": self.text_column,
            "pair_column": self.pair_column,
            "metrics": self.metrics,
            "record": {**self.record, "versions": {p: version(p) for p in ("enc-features", "torch", "transformers")}},
        }
        # Written beside and moved, so that a reader never sees half a head.
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        old = part.with_name(f"{part.name}-old")
        try:
            save_file(self.network.state_dict(), part / "head.safetensors")
            (part / "head.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            (part / "metrics.json").write_text(json.dumps(self.metrics, indent=2) + "\n", encoding="utf-8")
            pq.write_table(pa.Table.from_pylist(self.history), part / "history.parquet")
            part.chmod(0o755)
            if folder.exists():
                folder.rename(old)
            part.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Head":
        """Read a saved head. No code from the folder is run. Raises HeadError if it is not one."""
        folder = Path(folder)
        try:
            text = (folder / "head.json").read_text(encoding="utf-8")
        except OSError as error:
            raise HeadError(f"no head in '{folder}'; `enc train-head … --output {folder}` makes one") from error
        try:
            saved = json.loads(text)
            if saved["format"] != FORMAT or saved["kind"] not in HEADS:
                raise HeadError(f"the head in '{folder}' was made by a newer enc ({saved['kind']}); upgrade enc-features")
            spec = FeatureSpec.from_json(json.dumps(saved["features"]["spec"]))
            labels = Labels(tuple(saved["labels"]))
            network = make_head(saved["kind"], spec.shape, len(labels))
            network.load_state_dict(load_file(folder / "head.safetensors"))
            return cls(
                kind=saved["kind"],
                labels=labels,
                spec=spec,
                network=network.eval(),
                feature_set=saved["features"]["name"],
                text_column=saved["text_column"],
                pair_column=saved["pair_column"],
                metrics=saved["metrics"],
                history=pq.read_table(folder / "history.parquet").to_pylist(),
                record=saved["record"],
            )
        except (KeyError, TypeError, ValueError, OSError, RuntimeError, SafetensorError, pa.ArrowException) as error:
            raise HeadError(f"the head in '{folder}' is damaged: {type(error).__name__}: {str(error).splitlines()[0]}") from error

    def replace(self, **changes: Any) -> "Head":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def require_replaceable(folder: Path) -> None:
    """Raise HeadError if writing a head to ``folder`` would destroy something that is not one."""
    if folder.exists() and not (folder / "head.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise HeadError(f"'{folder}' is there and is not a head; choose another --output")
