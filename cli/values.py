"""From the values of options to what the engine takes."""

import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from ..engine import Head
    from ..engine.encode.asked import AskedSetting
    from ..store import Source


def load_classifier(values: dict[str, Any]) -> "tuple[Head, str | None]":
    """The classifier that the values of `classifier_options` name; the folder of its encoder if it moved."""
    from ..store import SourceError

    if not (values["head"] or values["model"]):
        raise SourceError("what is to predict? pass --head DIR, or --model DIR with a fine-tuned model")
    from ..engine.classifier import load_classifier as load

    find_local_modules()
    head = load(values["head"] or values["model"], verify_model=values["verify_model"])
    return head, values["model"] if values["head"] else None


def source_of(files: Sequence[str], values: dict[str, Any], **changes: Any) -> "Source":
    """A Source from the values of `source_options`."""
    from ..store import Source

    names = ("text_column", "pair_column", "query", "where", "format", "has_header", "allowed_paths")
    return Source(files, **{name: values[name] for name in names} | changes)


def setting_values(values: dict[str, Any]) -> "AskedSetting":
    """The values of `setting_options` that were given, as load_encoder takes them."""
    from ..store import RECIPES, Setting

    names = (*Setting.__annotations__, "prompt", "normalize")
    given = {name: values[name] for name in names if values.get(name) is not None}
    return cast("AskedSetting", {**(RECIPES[values["recipe"]] if values["recipe"] else {}), **given})


def backend_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of `backend_options`, as load_encoder takes them."""
    return {name: values[name] for name in ("backend", "precision", "device", "verify_model")}


def find_local_modules() -> None:
    """Let Python find the user's own heads in the current folder, after everything that is installed."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def key_values(items: Sequence[str], flag: str) -> dict[str, Any]:
    """Values of an option that takes JSON objects and ``name=value,name=value``, each time it is given.

    A value that reads as JSON is JSON, ``3,4,5`` is a list, and any other value is text.
    """
    values: dict[str, Any] = {}
    for item in items:
        try:
            parsed = (
                json.loads(item)
                if item.lstrip().startswith("{")
                else dict(map(_pair, re.split(r",(?=[^,=\[\]]+=)", item)))
            )
        except ValueError as error:
            raise click.BadParameter(
                f"cannot read '{item}'; write name=value,name=value or a JSON object", param_hint=flag
            ) from error
        values |= parsed
    return values


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(text)
    for json_text in (value, f"[{value}]"):
        with suppress(ValueError):
            return name.strip(), json.loads(json_text)
    return name.strip(), value
