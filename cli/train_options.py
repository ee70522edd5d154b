"""From the options of `enc train-head` to configurations, rows and a grid; without torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from .values import key_values, source_of

if TYPE_CHECKING:
    from ..engine import SolveConfig, TrainConfig
    from ..engine.pairs.combination import Combination
    from ..engine.train.validation import Validation
    from ..store import FeatureSpec, FeatureTable, Source

_CONFIG = (
    "head",
    "head_init",
    "allow_code",
    "optimizer",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup",
    "weight_decay",
    "momentum",
    "standardize",
    "label_smoothing",
    "metric",
    "early_stopping",
    "seed",
)
# Of gradient descent alone, with their flags.
_GRADIENT = {
    "recipe": "--recipe",
    "head_args": "--head-args",
    "head_init": "--head-init",
    "optimizer": "--optimizer",
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "learning_rate": "--learning-rate",
    "schedule": "--schedule",
    "warmup": "--warmup",
    "weight_decay": "--weight-decay",
    "momentum": "--momentum",
    "early_stopping": "--early-stopping",
    "seeds": "--seeds",
    "ensemble": "--ensemble",
}
_WAYS = "--valid FILE, --valid-where SQL, --valid-fraction 0.2, or --folds 5"


def config_of(values: dict[str, Any]) -> "TrainConfig | SolveConfig":
    """The configuration of the solver that was chosen. Raises SourceError for options of the other one."""
    from ..store import SourceError

    if values["solver"] == "lbfgs":
        return _solve_config(values)
    if values["l2"]:
        raise SourceError(
            "--l2 is for --solver lbfgs; with gradient descent there is --weight-decay, "
            "and --sweep weight_decay=0.1,0.01"
        )
    return _train_config(values)


def _train_config(values: dict[str, Any]) -> "TrainConfig":
    from ..engine import TrainConfig
    from ..engine.train.config import DEFAULTS, RECIPES
    from ..store import SourceError

    options = {name: values[name] for name in _CONFIG}
    recipe = RECIPES[values["recipe"]] if values["recipe"] else {}
    head = values["head"] if _is_given("head") else recipe.get("head", values["head"])
    for name, value in {**DEFAULTS.get(head, {}), **recipe}.items():
        if not _is_given(name):
            options[name] = value
    is_swept = any(option.partition("=")[0].strip() == "optimizer" for option in values["sweep"])
    if _is_given("momentum") and options["optimizer"] != "sgd" and not is_swept:
        raise SourceError("--momentum is for --optimizer sgd; add that, or leave out --momentum")
    return TrainConfig(
        **options,
        head_args=key_values(values["head_args"], "--head-args"),
        class_weights=_class_weights(values),
    )


def _solve_config(values: dict[str, Any]) -> "SolveConfig":
    from ..engine import SolveConfig
    from ..store import SourceError

    given = [flag for name, flag in _GRADIENT.items() if _is_given(name)]
    if values["head"] != "linear":
        given.append(f"--head {values['head']}")
    if not values["standardize"]:
        given.append("--no-standardize")
    if given:
        raise SourceError(
            f"{given[0]} is for gradient descent, and --solver lbfgs solves for one linear head to "
            f"convergence; leave out {given[0]}, or --solver lbfgs"
        )
    options: dict[str, Any] = {name: values[name] for name in ("label_smoothing", "metric", "seed")}
    if values["l2"] is not None:
        options["l2"] = _numbers(values["l2"])
    return SolveConfig(**options, class_weights=_class_weights(values))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(
            f"cannot read '{text}'; write numbers, such as 1,0.1,0.01", param_hint="--l2"
        ) from error


def _class_weights(values: dict[str, Any]) -> Any:
    weights = values["class_weights"]
    if weights == ("balanced",):
        return "balanced"
    return key_values(weights, "--class-weights") or None


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def training_rows(
    train: Sequence[str], values: dict[str, Any], say: Callable[[str], None]
) -> "tuple[Source, Validation]":
    """The rows to train and to validate on; the latter are left out of training where TRAIN has both."""
    from ..engine import Folds, Fraction
    from ..store import SourceError

    source, condition = source_of(train, values), values["valid_where"]
    ways: list[tuple[str, Callable[[], Validation]]] = []
    if values["valid"]:
        ways.append(("--valid", lambda: source_of(values["valid"], values, query=None, where=condition)))
    elif condition is not None:
        ways.append(("--valid-where", lambda: replace(source, where=condition)))
    if values["valid_fraction"] is not None:
        ways.append(("--valid-fraction", lambda: Fraction(values["valid_fraction"])))
    if values["folds"] is not None:
        ways.append(("--folds", lambda: Folds(values["folds"])))
    if len(ways) != 1:
        found = f", not {' and '.join(flag for flag, _ in ways)}" if ways else ""
        raise SourceError(f"give validation rows one way: {_WAYS}{found}")
    flag, make = ways[0]
    valid = make()
    if flag == "--valid-where":
        others = f"({condition}) IS NOT TRUE"
        source = replace(source, where=f"({source.where}) AND {others}" if source.where else others)
        say(f"rows with {condition} are for validation, and left out of training")
    return source, valid


def combination_asked(
    values: dict[str, Any], train: "Source", spec: "FeatureSpec", grid: dict[str, list[Any]]
) -> "Combination | None":
    """What a head is to see of pairs that are encoded apart, checked before anything is read."""
    from ..store import SourceError

    if not train.is_separate:
        for name, flag in (("combine", "--combine"), ("combine_args", "--combine-args")):
            if values[name]:
                raise SourceError(
                    f"{flag} is for pairs that are encoded apart: add --pair-column and --pairs separate"
                )
        return None
    from ..engine.pairs.combination import combination_of, names_in_any

    names = values["combine"]
    if "combine" in grid:
        if names:
            raise SourceError("name combinations by --combine or by --sweep combine=…, not by both")
        for one in grid["combine"]:
            combination_of(one, spec)
        names = names_in_any(grid["combine"])
    return combination_of(names, spec, key_values(values["combine_args"], "--combine-args"))


def test_rows(values: dict[str, Any]) -> "Source | None":
    """The rows that the head is judged on in the end, if there are any."""
    return source_of(values["test"], values, query=None, where=None) if values["test"] else None


def grid_of(
    values: dict[str, Any], config: "TrainConfig | SolveConfig", table: "FeatureTable"
) -> dict[str, list[Any]]:
    """What is swept. Raises SourceError for values out of range, SpecError for parts that are not there."""
    from ..engine import TrainConfig
    from ..engine.sweep.grid import distinct_parts, parse_sweep, runs_of

    grid = parse_sweep(values["sweep"])
    distinct_parts(table.spec, grid.get("use", []), table.spec)
    if isinstance(config, TrainConfig):
        runs_of(config, grid, seeds=values["seeds"], folds=values["folds"])
    return grid
