"""A command line of ``run_glue.py``, of any release, as words that have today's names.

Nothing here needs torch or transformers, so that a mistake is told before these are loaded.
"""

import json
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ...store import SourceError
from .option_fields import DataOptions, ModelOptions, require_numbers

_RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "warmup_ratio": "warmup_steps",
    "push_to_hub_token": "hub_token",
    "gradient_checkpointing": "activation_checkpointing",
    "use_auth_token": "token",
    "max_val_samples": "max_eval_samples",
    "max_test_samples": "max_predict_samples",
    "max_length": "max_seq_length",
    "model": "model_name_or_path",
    "task": "task_name",
}
"""Options of older releases, and short names, by today's."""


def _length_grouping(is_on: bool) -> list[str]:
    return ["--train_sampling_strategy", "group_by_length" if is_on else "random"]


def _if_on(*words: str) -> Callable[[bool], list[str]]:
    return lambda is_on: list(words) if is_on else []


_REPLACED: dict[str, Callable[[bool], list[str]]] = {
    "group_by_length": _length_grouping,
    "adafactor": _if_on("--optim", "adafactor"),
    "evaluate_during_training": _if_on("--eval_strategy", "steps"),
    "overwrite_output": lambda is_on: ["--overwrite_output_dir", str(is_on)],
    "save_safetensors": lambda is_on: ["--save_bin", str(not is_on)],
}
"""Flags of older releases that became the value of an option."""
_TRUE, _FALSE = ("true", "yes", "1", "on", "t", "y"), ("false", "no", "0", "off", "f", "n")


def flag_names(*groups: type) -> set[str]:
    """Names of the options of some classes that are on or off, and those of older releases."""
    names = {"no_cuda", "gradient_checkpointing", *_REPLACED}
    for group in (ModelOptions, DataOptions, *groups):
        for name, kind in typing.get_type_hints(group).items():
            if kind in (bool, bool | None):
                names.add(name)
    return names


def read_words(arguments: Sequence[str], flags: Iterable[str]) -> list[str]:
    """The words of a command line, or of the one ``.json`` file that it names, with today's names.

    ``flags`` are the options that are on or off; each gets True or False as its value. Raises
    SourceError for a file that cannot be read, for an option that is given twice with different
    values, and for what :func:`_require_sound` refuses.
    """
    given = list(arguments)
    if len(given) == 1 and given[0].endswith(".json"):
        given = _from_json(Path(given[0]))
    words = _renamed(given, set(flags))
    _require_sound(option_values(words))
    return words


def option_values(words: Sequence[str]) -> dict[str, str]:
    """Value of each option of :func:`read_words`; several words are joined by blanks.

    Raises SourceError for an option that is given twice with different values.
    """
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            found.append((word[2:], []))
        elif found:
            found[-1][1].append(word)
    values: dict[str, str] = {}
    for name, parts in found:
        value = " ".join(parts)
        if values.get(name, value) != value:
            raise SourceError(f"--{name} is given twice, as '{values[name]}' and '{value}'; leave one out")
        values[name] = value
    return values


def without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """The words with stars for tokens, because they are written to the model's folder."""
    kept, is_secret = [], False
    for word in words:
        name, equals, _ = word.partition("=")
        if is_secret and not word.startswith("--"):
            kept.append("***")
        elif equals and _names_secret(name):
            kept.append(f"{name}=***")
        else:
            kept.append(word)
        is_secret = _names_secret(word)
    return tuple(kept)


def _names_secret(option: str) -> bool:
    name = option.removeprefix("--").replace("-", "_")
    return option.startswith("--") and (name == "token" or name.endswith("_token"))


def _require_sound(values: dict[str, str]) -> None:
    """Raise SourceError for a number out of range, code of a model's own, no model or no output folder."""
    require_numbers(values)
    if values.get("trust_remote_code") == "True":
        raise SourceError("enc runs no code from a model's folder; leave out --trust_remote_code")
    if not values.get("output_dir"):
        raise SourceError("where to? pass --output_dir with a folder for the model and its results")
    if not values.get("model_name_or_path"):
        raise SourceError("which model? pass --model_name_or_path with a folder, 'minilm' or a hub id")


def _from_json(path: Path) -> list[str]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        items = values.items()
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(f"'{path}' cannot be read as a JSON object of options: {error}") from error
    words = []
    for name, value in items:
        if isinstance(value, list):
            words += [f"--{name}", *map(str, value)]
        elif value is not None:
            words += [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def _renamed(words: list[str], flags: set[str]) -> list[str]:
    """The words with every option by its present name, underscores in it, and every flag with its value."""
    renamed, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            renamed.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if equals:
            rest.insert(0, value)
        name = name.replace("-", "_")
        is_on = True
        if name.startswith("no_") and name[3:] in flags:
            name, is_on = name[3:], False
        name = _RENAMED.get(name, name)
        if name not in _REPLACED and name not in flags:
            renamed.append(f"--{name}")
            continue
        if rest and rest[0].lower() in _TRUE:
            rest.pop(0)
        elif rest and rest[0].lower() in _FALSE:
            rest.pop(0)
            is_on = not is_on
        renamed += _REPLACED[name](is_on) if name in _REPLACED else [f"--{name}", str(is_on)]
    return renamed


def own_options(values: dict[str, str]) -> tuple[ModelOptions, DataOptions]:
    """The options of enc's own, from :func:`option_values`; a value of the wrong kind is left out.

    transformers' parser, which reads all options, tells what is wrong with such a value.
    """
    model, data = (_converted(group, values) for group in (ModelOptions, DataOptions))
    return ModelOptions(**model), DataOptions(**data)


def _converted(group: type, values: dict[str, str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(group).items():
        if name not in values:
            continue
        value: Any = values[name]
        try:
            if kind in (bool, bool | None):
                value = value == "True"
            elif kind in (int, int | None):
                value = int(value)
            elif kind in (float, float | None):
                value = float(value)
        except ValueError:
            continue
        converted[name] = value
    return converted
