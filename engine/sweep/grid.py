"""Which runs a sweep has: settings by settings, seeds by seeds, folds by folds."""

import itertools
import json
import math
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...store import SourceError
from ..train.config import TrainConfig

MAX_RUNS = 10_000
_SHORT = {"lr": "learning_rate"}
_FIXED = (
    "head_args",
    "class_weights",
    "metric",
    "early_stopping",
    "seed",
)  # of TrainConfig; a sweep has one of each
SWEPT = tuple(name for name in typing.get_type_hints(TrainConfig) if name not in _FIXED)


@dataclass(frozen=True)
class Run:
    """One head to train."""

    config: TrainConfig
    use: str | None = None
    """Parts of the features, as :func:`store.parts.select_parts` reads them; None for all."""
    fold: int | None = None
    """The fold that is held out; None where there are no folds."""

    def setting(self, names: Sequence[str]) -> dict[str, Any]:
        """Values of what was swept, by the names that were given."""
        return {name: self.use if name == "use" else _value(self.config, name) for name in names}


def parse_sweep(options: Sequence[str]) -> dict[str, list[Any]]:
    """Values by name of options such as ``lr=1e-3,3e-3``, ``use=layers=12,layers=9-12`` or ``head_args.hidden=64,[64,32]``.

    Raises SourceError for a name that cannot be swept, a value that it cannot have, or a name given twice.
    """
    grid: dict[str, list[Any]] = {}
    for option in options:
        given, equals, text = option.partition("=")
        name = _SHORT.get(given.strip(), given.strip())
        if not equals or not text:
            raise SourceError(f"cannot read --sweep '{option}'; write name=value,value")
        if name != "use" and name not in SWEPT and not name.startswith("head_args."):
            there = ", ".join((*SWEPT, "use", "head_args.NAME"))
            raise SourceError(f"'{given}' cannot be swept; there are {there}")
        if name in grid:
            raise SourceError(f"--sweep names '{given}' twice; give all of its values in one")
        grid[name] = (
            _parts(text) if name == "use" else [_typed(name, value.strip()) for value in _split(text)]
        )
    return grid


def runs_of(
    base: TrainConfig, grid: Mapping[str, Sequence[Any]], *, seeds: int = 1, folds: int = 0
) -> list[Run]:
    """All combinations, for ``seeds`` seeds from the base's up, and each of ``folds`` folds; a value given twice counts once.

    Raises SourceError for more than MAX_RUNS, and as TrainConfig does for values out of range.
    """
    grid = {name: list({repr(value): value for value in values}.values()) for name, values in grid.items()}
    count = math.prod(map(len, grid.values())) * seeds * max(1, folds)
    if seeds < 1 or folds < 0 or folds == 1:
        raise SourceError(f"seeds count from 1 and folds from 2, not {seeds} and {folds}")
    if count > MAX_RUNS:
        raise SourceError(f"the sweep has {count:,} runs, more than {MAX_RUNS:,}; leave out some values")
    runs = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        use = chosen.pop("use", None)
        arguments = {
            name.partition(".")[2]: chosen.pop(name) for name in list(chosen) if name.startswith("head_args.")
        }
        config = replace(base, **chosen, head_args={**base.head_args, **arguments})
        for seed, fold in itertools.product(range(seeds), range(folds) if folds else [None]):
            runs.append(Run(replace(config, seed=base.seed + seed), use, fold))
    return runs


def _value(config: TrainConfig, name: str) -> Any:
    return (
        config.head_args.get(name.partition(".")[2])
        if name.startswith("head_args.")
        else getattr(config, name)
    )


def _parts(text: str) -> list[str]:
    """Values of ``use``: a new one begins where a key comes again."""
    values: list[list[str]] = []
    for item in re.split(r",(?=\s*[a-z]+=)", text):
        key = item.partition("=")[0].strip()
        if not values or any(part.startswith(f"{key}=") for part in values[-1]):
            values.append([])
        values[-1].append(item.strip())
    return [",".join(parts) for parts in values]


def _split(text: str) -> list[str]:
    """Values between the commas that stand outside brackets and quotes."""
    depth, quoted, values = 0, False, [""]
    for before, character in zip(" " + text, text, strict=False):
        quoted ^= character == '"' and before != "\\"
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if depth < 0:
            break
        if character == "," and not depth and not quoted:
            values.append("")
        else:
            values[-1] += character
    if depth or quoted:
        raise SourceError(
            f"cannot read '{text}': a bracket or a quote is not closed; write values such as 64,[64,32]"
        )
    return values


def _typed(name: str, text: str) -> Any:
    """A value as TrainConfig has it; arguments of heads are read as JSON, or else as text."""
    if name.startswith("head_args."):
        try:
            return json.loads(text)
        except ValueError:
            return text
    kind = typing.get_type_hints(TrainConfig)[name]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        raise SourceError(f"--sweep {name} cannot be '{text}'; it takes {kind.__name__} values") from error
