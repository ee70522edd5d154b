"""What a head's folder tells of the command that made it, and what another run of it made differently."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..store import HeadError
from ..store.nearest import did_you_mean_path
from .heads.folders import head_folder

_COMMANDS = {"train-head": ("--output",), "fine-tune": ("--output_dir", "--output-dir")}
_TUNED = "enc.json"


@dataclass(frozen=True)
class Recorded:
    """The command that made a head, or a fine-tuned model."""

    folder: Path
    """On this machine."""
    name: str
    """How messages call it."""
    words: tuple[str, ...]
    """Of the command line, without ``enc``, ``--json`` and the place of the output."""
    output_flag: str

    @classmethod
    def of(cls, folder: str | Path) -> "Recorded":
        """Read it, of a folder, a URL, or ``hf://OWNER/REPO``. Raises HeadError where nothing is recorded, or
        no training.
        """
        found = head_folder(folder)
        words = _recorded_words(found.folder, str(folder))
        flags = _COMMANDS.get(words[0]) if words else None
        if flags is None and found.hub:
            raise HeadError(
                f"'{folder}' does not record the command that made it: `enc push` sends none to the hub, "
                "since it names files of whoever trained; run this on the folder that was pushed"
            )
        if flags is None:
            raise HeadError(
                f"'{folder}' does not record a command of enc that trains; it was made from Python, by "
                "merge-head, or by a release of before"
            )
        kept: list[str] = []
        is_value = False
        for word in words:
            if is_value:
                is_value = False
            elif word in flags:
                is_value = True
            elif word != "--json" and word.partition("=")[0] not in flags:
                kept.append(word)
        return cls(found.folder, str(folder), tuple(kept), flags[0])

    @property
    def runs_code(self) -> bool:
        """Whether the command imports a class of the user's."""
        return "--allow-code" in self.words

    def command(self, output: str | Path) -> list[str]:
        """Words of the command that makes it again, somewhere else."""
        return [*self.words, self.output_flag, str(output)]


def _recorded_words(folder: Path, shown: str) -> list[str]:
    name = "head.json" if (folder / "head.json").is_file() else _TUNED
    try:
        saved = json.loads((folder / name).read_text(encoding="utf-8"))
        if name == _TUNED:
            return ["fine-tune", *map(str, saved["arguments"])] if "arguments" in saved else []
        return shlex.split(saved["record"].get("command", ""))[1:]
    except FileNotFoundError as error:
        raise HeadError(f"no head and no fine-tuned model in '{shown}'{did_you_mean_path(shown)}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeadError(f"'{shown}/{name}' is damaged ({error}); train again") from error


@dataclass(frozen=True)
class Difference:
    """What differs between a head and one that the same command made later."""

    is_same: bool
    """Whether all weights are the same, bit for bit."""
    causes: tuple[str, ...]
    """What may be why: other rows, other versions, other features."""
    figures: dict[str, tuple[float | None, float | None]]
    """Figures on the validation rows that differ: before and after."""


def difference(before: Recorded, after: str | Path) -> Difference:
    """Compare a head, or a fine-tuned model, with the folder or URL of another."""
    again = head_folder(after).folder
    first, second = _facts(before.folder), _facts(again)
    causes = [
        f"the {name} rows are others than those of '{before.name}'"
        for name, value in first["fingerprints"].items()
        if second["fingerprints"].get(name, value) != value
    ]
    causes += [
        f"{name} was {value}, and is {second['versions'][name]} now"
        for name, value in first["versions"].items()
        if second["versions"].get(name, value) != value
    ]
    if first["features"] != second["features"]:
        causes.append("the features are those of another setting")
    figures: dict[str, tuple[float | None, float | None]] = {
        name: (value, second["metrics"].get(name))
        for name, value in first["metrics"].items()
        if isinstance(value, float) and second["metrics"].get(name) != value and not _is_time(name)
    }
    return Difference(_are_same(before.folder, again), tuple(causes), figures)


def _facts(folder: Path) -> dict[str, Any]:
    if (folder / "head.json").is_file():
        saved = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        record = saved["record"]
        return {
            "fingerprints": record.get("fingerprints", {}),
            "versions": record.get("versions", {}),
            "features": saved["features"]["spec"]["digest"],
            "metrics": saved["metrics"],
        }
    saved = json.loads((folder / _TUNED).read_text(encoding="utf-8"))
    run_file = folder / "enc-run.json"
    data = json.loads(run_file.read_text(encoding="utf-8")).get("data", {}) if run_file.is_file() else {}
    return {
        "fingerprints": {name: one["fingerprint"] for name, one in data.items()},
        "versions": saved.get("versions", {}),
        "features": None,
        "metrics": saved["metrics"],
    }


def _are_same(before: Path, after: Path) -> bool:
    from safetensors.numpy import load_file

    names: Sequence[str] = [path.name for path in sorted(before.glob("*.safetensors"))]
    if not names or names != [path.name for path in sorted(after.glob("*.safetensors"))]:
        return False
    for name in names:
        first, second = load_file(before / name), load_file(after / name)
        if first.keys() != second.keys() or not all(
            np.array_equal(first[key], second[key], equal_nan=True) for key in first
        ):
            return False
    return True


def _is_time(name: str) -> bool:
    return "runtime" in name or "per_second" in name
