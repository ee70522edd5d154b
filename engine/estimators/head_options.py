"""From the parameters of an estimator to the configuration of a trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from ...store import SourceError
from ...store.nearest import unknown
from ..train.config import TrainConfig
from ..train.ranges import SHARE
from ..train.solve_config import SolveConfig

SOLVERS = ("auto", "lbfgs", "gradient")
L2 = 0.01
"""The strength of regularisation unless one is given."""
_GRADIENT_ONLY = (
    "optimizer", "epochs", "batch_size", "learning_rate", "schedule", "warmup", "weight_decay", "momentum",
    "standardize", "early_stopping",
)  # fmt: skip
_DEFAULTS = {field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING}


def config_of(params: Mapping[str, Any], random_state: Any) -> TrainConfig | SolveConfig:
    """The trainer's configuration for the parameters of a head's estimator.

    Raises SourceError for values that are impossible, and for parameters that the solver does not use.
    """
    shared = {
        "label_smoothing": params.get("label_smoothing", 0.0),
        "class_weights": params.get("class_weight"),
        "metric": params["metric"],
        "seed": _seed(random_state),
    }
    SHARE.checked("validation_fraction", params["validation_fraction"])
    if _solver(params) == "lbfgs":
        changed = [name for name in _GRADIENT_ONLY if params[name] != _DEFAULTS[name]]
        if params["head"] != "linear" or params["head_args"]:
            raise SourceError("solver 'lbfgs' is for the linear head; pass solver='gradient' for others")
        if changed:
            raise SourceError(
                f"{changed[0]} is for gradient descent, and solver 'lbfgs', the linear head's own, does not "
                f"use it; pass solver='gradient', or leave out {changed[0]}"
            )
        strengths: Any = params["l2"]
        several = isinstance(strengths, (Sequence, np.ndarray)) and not isinstance(strengths, str)
        strengths = tuple(strengths) if several else (strengths,)
        if len(strengths) == 1:
            shared["metric"] = "loss"  # nothing is chosen by it, and it is defined for any rows
        return SolveConfig(l2=strengths, **shared)
    if isinstance(params["l2"], (Sequence, np.ndarray)) or params["l2"] != L2:
        raise SourceError("l2 is for solver 'lbfgs'; with gradient descent there is weight_decay")
    return TrainConfig(
        head=params["head"],
        allow_code=params["allow_code"],
        head_args=params["head_args"] or {},
        **{name: params[name] for name in _GRADIENT_ONLY},
        **shared,
    )


def needs_held_out_rows(config: TrainConfig | SolveConfig) -> bool:
    """Whether a head is chosen among several by how it does on rows that it was not trained on."""
    if isinstance(config, SolveConfig):
        return len(set(config.l2)) > 1
    return config.metric is not None or config.early_stopping is not None


def _solver(params: Mapping[str, Any]) -> str:
    if params["solver"] not in SOLVERS:
        raise SourceError(unknown("solver", params["solver"], SOLVERS))
    if params["solver"] != "auto":
        return params["solver"]
    return "lbfgs" if params["head"] == "linear" else "gradient"


def _seed(random_state: Any) -> int:
    """A seed for a trainer from what scikit-learn takes as a random state."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(1 << 31))
