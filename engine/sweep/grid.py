"""Which runs a sweep has: settings by settings, seeds by seeds, folds by folds."""

import itertools
import json
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...store import FeatureSpec, SourceError
from ...store.nearest import did_you_mean
from ...store.parts import select_parts
from ..train.config import TrainConfig
from ..train.ranges import whole
from ..train.solve_config import SolveConfig

MAX_RUNS = 10_000
SEEDS = whole(1, MAX_RUNS)
_SHORT = {"lr": "learning_rate"}
_ARGUMENT = "head_args."
_OF_DATA = ("use", "combine")
"""What is swept, and is of the features and not of the configuration."""
# Of TrainConfig; a sweep has one of each.
_FIXED = ("allow_code", "head_args", "class_weights", "metric", "early_stopping", "seed")
SWEPT = tuple(name for name in typing.get_type_hints(TrainConfig) if name not in _FIXED)


@dataclass(frozen=True)
class Trial:
    """One head of a comparison: its configuration, its features, and the fold that it does not see."""

    config: TrainConfig | SolveConfig
    use: str | None = None
    """Parts of the features, as :func:`store.parts.select_parts` reads them; None for all."""
    combine: str | None = None
    """What is combined of pairs that are encoded apart, as ``cosines+words``; None for what was loaded."""
    fold: int | None = None
    """The fold that is held out; None where there are no folds."""


@dataclass(frozen=True)
class Run(Trial):
    """One head to train by gradient descent."""

    config: TrainConfig

    def setting(self, names: Sequence[str]) -> dict[str, Any]:
        """Values of what was swept, by the names that were given."""
        return {name: self._value(name) for name in names}

    def _value(self, name: str) -> Any:
        if name in _OF_DATA:
            return getattr(self, name)
        if name.startswith(_ARGUMENT):
            return self.config.head_args.get(name.removeprefix(_ARGUMENT))
        return getattr(self.config, name)


def parse_sweep(options: Sequence[str]) -> dict[str, list[Any]]:
    """Values by name, from options such as ``lr=1e-3,3e-3`` or ``use=layers=12,layers=9-12``.

    Raises SourceError for a name that cannot be swept, a value that it cannot have, or a name given twice.
    """
    grid: dict[str, list[Any]] = {}
    for option in options:
        given, equals, text = option.partition("=")
        field, dot, argument = given.strip().partition(".")
        name = field.replace("-", "_") + dot + argument  # options are written with dashes
        name = _SHORT.get(name, name)
        if not equals or not text:
            raise SourceError(f"cannot read --sweep '{option}'; write name=value,value")
        _require_name(name, given)
        if name in grid:
            raise SourceError(f"--sweep names '{given}' twice; give all of its values in one")
        if name == "use":
            grid[name] = _parts(text)
        elif name == "combine":
            grid[name] = [value.strip() for value in text.split(",")]
        else:
            grid[name] = [_typed(name, value.strip()) for value in _split(text)]
    return grid


def _require_name(name: str, given: str) -> None:
    if name not in (*_OF_DATA, *SWEPT) and not name.startswith(_ARGUMENT):
        known = (*SWEPT, *_OF_DATA, "head_args.NAME")
        raise SourceError(
            f"'{given}' cannot be swept; there are {', '.join(known)}{did_you_mean(given, known)}"
        )


def full_names(grid: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """A grid with the full names of what is swept: ``lr`` is ``learning_rate``. Raises SourceError for a name
    that stands there twice.
    """
    full = {_SHORT.get(name, name): values for name, values in grid.items()}
    if len(full) < len(grid):
        raise SourceError(f"the sweep names '{next(iter(_SHORT.values()))}' twice; give all values in one")
    return full


def require_grid(grid: Mapping[str, Sequence[Any]]) -> None:
    """Raise SourceError for a name that cannot be swept, and for a name without a list of values."""
    for name, values in grid.items():
        _require_name(name, name)
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise SourceError(f"a sweep of '{name}' needs a list of one or more values, not {values!r}")


def runs_of(
    base: TrainConfig, grid: Mapping[str, Sequence[Any]], *, seeds: int = 1, folds: int | None = None
) -> list[Run]:
    """All combinations, each with ``seeds`` seeds from the base's up, and with each of ``folds`` folds.

    Without folds there is one run for each seed. A value given twice counts once. Raises SourceError for
    more than MAX_RUNS runs, and as TrainConfig does for values out of range.
    """
    grid = full_names(grid)
    require_grid(grid)
    seeds = SEEDS.checked("the number of seeds", seeds)
    grid = {name: list({repr(value): value for value in values}.values()) for name, values in grid.items()}
    count = math.prod(map(len, grid.values())) * seeds * (folds or 1)
    if count > MAX_RUNS:
        raise SourceError(f"the sweep has {count:,} runs, more than {MAX_RUNS:,}; leave out some values")
    runs = []
    for values in itertools.product(*grid.values()):
        of_data, changes, arguments = {}, {}, dict(base.head_args)
        for name, value in zip(grid, values, strict=True):
            if name in _OF_DATA:
                of_data[name] = value
            elif name.startswith(_ARGUMENT):
                arguments[name.removeprefix(_ARGUMENT)] = value
            else:
                changes[name] = value
        config = replace(base, **changes, head_args=arguments)
        for seed, fold in itertools.product(range(seeds), range(folds) if folds else [None]):
            runs.append(Run(replace(config, seed=base.seed + seed), fold=fold, **of_data))
    return runs


def distinct_parts(
    spec: FeatureSpec, uses: Iterable[str | None], default: FeatureSpec
) -> dict[str | None, FeatureSpec]:
    """The setting that each of ``uses`` names, without names for parts that another one names already.

    None stands for ``default``. Raises SpecError for parts that ``spec`` does not have.
    """
    parts: dict[str | None, FeatureSpec] = {}
    for use in uses:
        part = default if use is None else select_parts(spec, use)
        if use not in parts and part not in parts.values():
            parts[use] = part
    return parts


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
    depth, is_quoted, is_escaped, values = 0, False, False, [""]
    for character in text:
        if character == '"' and not is_escaped:
            is_quoted = not is_quoted
        is_escaped = character == "\\"
        if not is_quoted and character in "[{":
            depth += 1
        if not is_quoted and character in "]}":
            depth -= 1
        if depth < 0:
            break
        if character == "," and depth == 0 and not is_quoted:
            values.append("")
        else:
            values[-1] += character
    if depth != 0 or is_quoted:
        raise SourceError(
            f"cannot read '{text}': a bracket or a quote is not closed; write values such as 64,[64,32]"
        )
    return values


def _typed(name: str, text: str) -> Any:
    """A value as TrainConfig has it; arguments of heads are read as JSON, or else as text."""
    if name.startswith(_ARGUMENT):
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
