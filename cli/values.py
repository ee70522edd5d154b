"""From the values of options to what the engine takes."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import click

from .voice import note

if TYPE_CHECKING:
    from ..engine import Encoder, Head
    from ..engine.encode.asked import AskedSetting
    from ..store import FeatureSpec, Source


def load_classifier(values: dict[str, Any]) -> "tuple[Head, str | None]":
    """The classifier that the values of `classifier_options` name; the folder of its encoder if it moved."""
    from ..store import SourceError

    if not (values["head"] or values["model"]):
        raise SourceError("what is to predict? pass --head DIR, or --model DIR with a fine-tuned model")
    from ..engine.classifier import load_classifier as load

    head = load(values["head"] or values["model"], **classifier_values(values))
    return head, values["model"] if values["head"] else None


def load_classifiers(values: dict[str, Any], column_prefix: str) -> "tuple[dict[str, Head], str | None]":
    """The classifiers that the values of `classifiers_options` name, by the prefix of their columns; and the
    folder of their encoder if it moved.
    """
    from ..store import SourceError

    folders: tuple[str, ...] = values["heads"] or values["models"]
    if not folders:
        raise SourceError("what is to predict? pass --head DIR, or --model DIR with a fine-tuned model")
    if values["heads"] and len(values["models"]) > 1:
        raise SourceError("beside --head, --model is the folder of one encoder; pass it once")
    from ..engine.classifier import load_classifier as load

    found: dict[str, Head] = {}
    for item in folders:
        name, folder = _named_folder(item)
        prefix = f"{column_prefix}{name}_" if len(folders) > 1 else column_prefix
        if prefix in found:
            raise SourceError(f"two heads are called '{name}'; name them: --head a={folder}")
        found[prefix] = load(folder, **classifier_values(values))
    return found, values["models"][0] if values["heads"] and values["models"] else None


def _named_folder(item: str) -> tuple[str, str]:
    """Name and folder of ``DIR`` or ``NAME=DIR``."""
    name, equals, folder = item.partition("=")
    if equals and not os.path.exists(item):
        return name, folder
    from ..engine.encode.hub_names import HubName

    hub = HubName.of(item)
    return hub.name if hub else os.path.basename(os.path.abspath(item)), item


def encoder_loader(values: dict[str, Any], model: str | None) -> "Callable[[FeatureSpec], Encoder]":
    """What loads the encoder of a setting, by the values of `backend_options`."""

    def load(spec: "FeatureSpec") -> "Encoder":
        from ..engine import load_encoder_of

        return load_encoder_of(spec, model=model, **backend_values(values), say=note)

    return load


def threshold_of(items: Sequence[str]) -> float | dict[str, float] | None:
    """The values of `threshold_option`: one probability, or probabilities by label."""
    try:
        if len(items) == 1 and "=" not in items[0]:
            return float(items[0])
        given = key_values(items, "--threshold")
        return {name: float(value) for name, value in given.items()} or None
    except (TypeError, ValueError) as error:
        raise click.BadParameter(
            f"cannot read '{' '.join(items)}'; write a probability, or label=probability,…",
            param_hint="--threshold",
        ) from error


def require_input(files: Sequence[str], output: str, values: dict[str, Any]) -> None:
    """Raise SourceError where the only name is that of the output."""
    from ..store import SourceError

    if not files and not values["query"]:
        raise SourceError(
            f"which rows, and where to? '{output}' stands last, where the output is named; name the files "
            "before it, or give a query: --query 'SELECT …'"
        )


def source_of(files: Sequence[str], values: dict[str, Any], **changes: Any) -> "Source":
    """A Source from the values of `source_options`."""
    from ..store import Source

    names = ("text_column", "pair_column", "query", "where", "format", "has_header", "allowed_paths")
    pairs = {"pairs": values["pairs"]} if "pairs" in values else {}
    return Source(files, **{name: values[name] for name in names} | pairs | changes)


def setting_values(values: dict[str, Any]) -> "AskedSetting":
    """The values of `setting_options` that were given, as load_encoder takes them."""
    from ..store import RECIPES, Setting

    names = (*Setting.__annotations__, "prompt", "normalize")
    given = {name: values[name] for name in names if values.get(name) is not None}
    return cast("AskedSetting", {**(RECIPES[values["recipe"]] if values["recipe"] else {}), **given})


def backend_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of `backend_options`, as load_encoder takes them."""
    return {name: values[name] for name in ("backend", "precision", "device", "verify_model")}


def classifier_values(values: dict[str, Any]) -> dict[str, Any]:
    """How a classifier is read, as load_classifier takes it."""
    return {
        "verify_model": values["verify_model"],
        "allow_code": allows_code(is_allowed=values["allow_code"]),
    }


def allows_code(*, is_allowed: bool) -> bool:
    """The value of `code_option`; if true, Python finds the user's modules in the current folder, after
    everything that is installed.
    """
    if is_allowed and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return is_allowed


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
