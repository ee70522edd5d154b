"""Choices of a backend that were made on this machine: a JSON file in the user's cache folder."""

import json
import os
import platform
from dataclasses import asdict

import numpy as np

from ...store.files import replaced_file
from ..encode.checkpoint import Checkpoint
from ..encode.devices import cpu_threads
from ..encode.model_files import cache_folder
from ..encode.releases import installed_release
from ..encode.tokens import Tokens
from .candidates import Candidate

_PACKAGES = ("torch", "transformers", "openvino", "onnx", "onnxruntime")


class ChoiceMemory:
    """What was chosen for a model on this machine and with these releases, by the length of the texts."""

    def __init__(self, checkpoint: Checkpoint, precision: str | None, device: str):
        spec = checkpoint.spec
        self._path = cache_folder() / "choices.json"
        machine = f"{platform.node()} {platform.machine()} {os.cpu_count()} cpus {cpu_threads()} threads"
        self._key = "; ".join(
            [
                f"{machine} on {device}",
                *(f"{name} {installed_release(name)}" for name in _PACKAGES),
                f"model {spec.weights[:16]} layer {max(spec.layers)} "
                f"pooling {','.join((*spec.pooling, *spec.after_pooling))} "
                f"dtype {spec.dtype}",
                f"precision {precision or 'any'}",
            ]
        )

    def read(self, sample: Tokens | None) -> Candidate | None:
        """The choice for texts of the sample's length, or of the nearest length that there is one for."""
        known = self._choices().get(self._key)
        if not isinstance(known, dict) or not known:
            return None
        wanted = _length_class(sample)
        try:
            nearest = min(known, key=lambda power: (abs(int(power) - wanted), power))
            return Candidate(**known[nearest])
        except (ValueError, TypeError):  # a file that somebody else has written
            return None

    def is_known(self, sample: Tokens) -> bool:
        """Whether there is a choice for texts of just this length."""
        known = self._choices().get(self._key)
        return isinstance(known, dict) and str(_length_class(sample)) in known

    def all(self) -> dict[int, Candidate]:
        """Every choice, by the power of two that the texts' mean number of tokens begins at."""
        known = self._choices().get(self._key)
        try:
            return {int(power): Candidate(**value) for power, value in dict(known or {}).items()}  # type: ignore[arg-type]
        except (ValueError, TypeError):  # a file that somebody else has written
            return {}

    def write(self, sample: Tokens, candidate: Candidate) -> None:
        """Remember a choice; where the folder cannot be written, the next run measures again."""
        choices = self._choices()
        known = choices.get(self._key)
        if not isinstance(known, dict):
            known = {}
        choices[self._key] = known | {str(_length_class(sample)): asdict(candidate)}
        try:
            with replaced_file(self._path) as part:
                part.write_text(json.dumps(choices, indent=2), encoding="utf-8")
        except OSError:
            return

    def _choices(self) -> dict[str, object]:
        try:
            choices = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return choices if isinstance(choices, dict) else {}


def _length_class(sample: Tokens | None) -> int:
    """The power of two below the mean length: texts of 16 to 31 tokens are alike, and so on."""
    if sample is None or not len(sample.lengths):
        return 0
    return int(np.log2(max(1.0, float(np.mean(sample.lengths)))))
