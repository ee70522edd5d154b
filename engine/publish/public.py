"""What of a head's or model's folder is for all: weights, and JSON that names no place of this machine."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...store import HeadError, HubError
from ..encode.model_files import EMBEDDED_MODEL, TOKENIZER_FILES
from ..finetune.tuned_files import RECORD
from ..heads.folders import HEAD_JSON, HeadFolder
from ..heads.head import Head
from ..heads.kinds import TUNED
from ..heads.saved import read_history
from ..words.files import NUMBERS, VOCABULARY

EMBEDDED_ID = "sentence-transformers/all-MiniLM-L6-v2"
"""What `minilm` is called on the hub."""
_HUB_ID = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9_][\w.-]{0,95}(/[\w.-]{1,96})?", re.ASCII)
_CACHED = re.compile(r"models--([\w.-]+?)(?:--([\w.-]+))?/snapshots/[0-9a-f]{40}$")
_RECORDED = (
    "config", "solver", "l2", "sweep", "folds", "figures_of", "seeds", "words", "label_columns",
    "feature_set_digest", "versions", "sources", "imported", "merged", "task_name", "format",
    "labels", "max_length", "text_column", "pair_column", "metrics",
)  # fmt: skip
"""Of a record: what is published. The command and its arguments name files of whoever trained."""
_AS_THEY_ARE = ("labels", "label_columns", "text_column", "pair_column", "metrics")


@dataclass(frozen=True)
class Public:
    """What becomes of a folder on the hub."""

    base_model: str | None
    """Hub id of the encoder; None where it is unknown."""
    model: str
    """The name by which the encoder is loaded; empty of a whole model."""
    remarks: tuple[str, ...]
    """What whoever pushes should know."""


def write_public(found: HeadFolder, head: Head, folder: Path, base_model: str | None = None) -> Public:
    """Fill a folder with what is published of a head or a fine-tuned model.

    ``base_model`` is the hub id of its encoder; of a head, the encoder is then loaded by this name. Raises
    HubError for a name that is none, and HeadError for a folder that cannot be read.
    """
    if base_model is not None and not _HUB_ID.fullmatch(base_model):
        raise HubError(f"'{base_model}' is no name of a model on the hub; write OWNER/NAME")
    try:
        if head.kind == TUNED:
            return _write_model(found.folder, head, folder, base_model)
        return _write_head(found.folder, head, folder, base_model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HeadError(f"'{found.folder}' is damaged: {type(error).__name__}: {error}") from error


def _write_head(source: Path, head: Head, folder: Path, base_model: str | None) -> Public:
    saved = json.loads((source / HEAD_JSON).read_text(encoding="utf-8"))
    remarks = []
    if head.spec.imported:
        model, known = head.spec.model, base_model
    else:
        known = base_model or public_model(head.spec.model)
        model = EMBEDDED_MODEL if head.spec.model == EMBEDDED_MODEL and not base_model else known
        if known is None:
            model = PurePosixPath(head.spec.model.replace("\\", "/")).name
            remarks.append(
                f"the encoder is known as '{model}', the name of a folder of yours: who uses the head has to "
                "pass --model with the folder of that model; if it is on the hub, push again with "
                "--base-model OWNER/NAME"
            )
    if head.words is not None:
        remarks.append(
            "words.json holds n-grams of the training texts, and so names and numbers that are frequent there"
        )
    if head.code.hashes:
        remarks.append("the class of the head is not published: who uses the head needs its source file")
    model = str(model)
    saved["features"]["spec"]["model"] = model
    saved["history"] = read_history(source, saved)
    saved["record"] = public_record(saved["record"])
    _write_json(folder / HEAD_JSON, saved)
    _write_json(folder / "metrics.json", saved["metrics"])
    for name in ("head.safetensors", *((VOCABULARY, NUMBERS) if head.words else ())):
        shutil.copyfile(source / name, folder / name)
    return Public(known, model, tuple(remarks))


def _write_model(source: Path, head: Head, folder: Path, base_model: str | None) -> Public:
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    record = source / RECORD
    recorded: dict[str, Any] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    known = base_model or public_model(_named_model(recorded) or str(config.get("_name_or_path") or ""))
    patterns = ("config.json", "model*.safetensors", "model*.safetensors.index.json", *TOKENIZER_FILES)
    for file in sorted({file for pattern in patterns for file in source.glob(pattern)}):
        if file.suffix == ".json" and file.name != "tokenizer.json":
            values = json.loads(file.read_text(encoding="utf-8"))
            public = _without_places(values)
            if public != values:
                _write_json(folder / file.name, public)
                continue
        shutil.copyfile(file, folder / file.name)
    used = {"format": 1, "task_name": None, "labels": list(head.labels.values), "metrics": {}}
    used |= {"max_length": head.spec.max_length, "text_column": None, "pair_column": head.pair_column}
    _write_json(folder / RECORD, {**used, **public_record(recorded)})  # there by all means: it tells a push
    return Public(known, "", ())


def _named_model(record: Mapping[str, Any]) -> str | None:
    """The model that a command of `enc fine-tune` began with."""
    words = [str(word) for word in record.get("arguments", ())]
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.replace("-", "_") in ("__model_name_or_path", "__model"):
            return value if equals else "".join(words[number + 1 : number + 2])
    return None


def public_model(name: str) -> str | None:
    """The hub id of a model by the name that it was loaded by; None for a folder of this machine."""
    if name == EMBEDDED_MODEL:
        return EMBEDDED_ID
    cached = _CACHED.search(name.replace("\\", "/"))
    if cached:
        return "/".join(part for part in cached.groups() if part)
    name = name.removeprefix("hf://").partition("@")[0]
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else None


def public_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """How a head came about, without what names a place of this machine."""
    found = {name: record[name] for name in _RECORDED if name in record}
    # Not by the names of the record, by which `enc next` would look for these files where it is run.
    sources = {name: _last_part(str(record[name])) for name in ("train", "valid", "test") if name in record}
    if sources:
        found["sources"] = sources
    return {name: value if name in _AS_THEY_ARE else _without_places(value) for name, value in found.items()}


def _without_places(value: Any) -> Any:
    """JSON values of which texts that are paths keep their last part alone."""
    if isinstance(value, dict):
        return {name: _without_places(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    if isinstance(value, str) and re.match(r"(/|~|\.{1,2}/|[A-Za-z]:[\\/]|\\\\|file:)", value):
        return _last_part(value)
    return value


def _last_part(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name or path


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
