"""JSON files of a model's folder, which somebody else has written: read with care, and told by name."""

import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from ...store import ModelError


def read_object(path: Path, shown: str) -> dict[str, Any]:
    """A JSON object from a file, by the name that people are shown. Raises ModelError for anything else."""
    value = read_json(path, shown)
    if not isinstance(value, dict):
        raise ModelError(f"{shown} holds no JSON object")
    return value


def read_json(path: Path, shown: str) -> Any:
    """A JSON value from a file. Raises ModelError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{shown} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{shown} cannot be read ({str(error).splitlines()[0]})") from error


def inner_path(path: Any, shown: str) -> PurePosixPath:
    """A path inside the model's folder. Raises ModelError for one that leaves it, or that is a pattern."""
    if not isinstance(path, str):
        raise ModelError(f"{shown} has the path {path!r}, which is no text")
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or any(mark in path for mark in "\\:*?[\0"):
        raise ModelError(f"{shown} has the path {path!r}, which leaves the model's folder")
    return parts


def refuse_unknown(config: dict[str, Any], known: Collection[str], shown: str) -> None:
    """Raise ModelError for a key that is set and not known: it may change the numbers."""
    for key, value in config.items():
        if key not in known and value not in (None, False, "", [], {}):
            raise ModelError(f"{shown} sets '{str(key)[:80]}', which this release of enc does not know")


def flag(config: dict[str, Any], key: str, default: bool, shown: str) -> bool:
    """A true or false of a JSON object. Raises ModelError for any other value."""
    value = config.get(key, default)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelError(f"{shown} has {value!r} as '{key}', which is neither true nor false")
    return value


def size(config: dict[str, Any], key: str, shown: str) -> int | None:
    """A whole number above 0 of a JSON object; None where it is not set. Raises ModelError for others."""
    value = config.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{shown} has {value!r} as '{key}', which is no whole number above 0")
    return value
