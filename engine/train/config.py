"""How a head is trained by gradient descent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...store import SourceError
from ...store.nearest import did_you_mean, unknown
from ..heads.kinds import ENCODER, HEADS
from ..heads.metrics import METRICS
from ..heads.own_code import OwnCode
from ..heads.upper_arguments import check_arguments
from .ranges import BATCH_SIZE, EPOCHS, NOT_NEGATIVE, POSITIVE, SEED, SHARE_OR_0
from .schedule import SCHEDULES

OPTIMIZERS = ("adamw", "sgd")
_RANGES = {
    "epochs": EPOCHS,
    "batch_size": BATCH_SIZE,
    "learning_rate": POSITIVE,
    "warmup": SHARE_OR_0,
    "weight_decay": NOT_NEGATIVE,
    "momentum": SHARE_OR_0,
    "label_smoothing": SHARE_OR_0,
    "seed": SEED,
}


@dataclass(frozen=True)
class TrainConfig:
    """How a head is trained by gradient descent, epoch by epoch."""

    head: str = "linear"
    """One of :data:`engine.heads.kinds.HEADS`, or ``module:Class`` (see :mod:`engine.heads.custom`)."""
    allow_code: bool = False
    """Whether the class of a ``module:Class`` may be imported; its code runs."""
    head_args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the head's class, after the shape and the number of outputs."""
    head_init: str | None = None
    """Folder of a linear head that the classifier of a head ``encoder`` begins as."""
    optimizer: str = "adamw"
    """One of OPTIMIZERS."""
    epochs: int = 10
    """Passes over the training rows, at the most."""
    batch_size: int = 64
    """Rows of one step."""
    learning_rate: float = 1e-3
    """Step size, at its highest."""
    schedule: str = "constant"
    """One of SCHEDULES: how the learning rate goes on after the warmup. Linear and cosine end at 0."""
    warmup: float = 0.0
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: float = 1e-2
    """Pull of the weights towards zero."""
    momentum: float = 0.9
    """How much of its last step SGD takes again, from 0 up to 1."""
    standardize: bool = True
    """Scale every feature to mean 0 and variance 1 over the training rows. The head keeps the scaling."""
    class_weights: str | Mapping[Any, float] | None = None
    """``balanced``, or weights by label; see :func:`engine.heads.tasks.loss_weights`."""
    label_smoothing: float = 0.0
    """Share of a target's weight that is spread over all classes."""
    metric: str | None = None
    """One of :data:`engine.heads.metrics.METRICS`: keep the epoch that is best by it, not the last one."""
    early_stopping: int | None = None
    """End after so many epochs without a better one, by ``metric`` or else by the task's own metric."""
    seed: int = 42
    """Decides the initial weights, dropout, the order of the rows, and which rows are held out."""

    def __post_init__(self) -> None:
        if not isinstance(self.head, str) or (self.head not in HEADS and ":" not in self.head):
            raise SourceError(
                f"unknown head '{self.head}'; there are {', '.join(HEADS)}, or module:Class for your own"
                f"{did_you_mean(self.head, HEADS)}"
            )
        if self.head not in HEADS:
            OwnCode(self.allow_code is True).require_allowed(self.head)
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in known:
                raise SourceError(unknown(name, value, known))
        checked = {name: numbers.checked(name, getattr(self, name)) for name, numbers in _RANGES.items()}
        if self.early_stopping is not None:
            checked["early_stopping"] = EPOCHS.checked("early_stopping", self.early_stopping)
        if not isinstance(self.standardize, bool):
            raise SourceError(f"standardize must be True or False, not {self.standardize!r}")
        try:
            json.dumps(dict(self.head_args), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"head_args are saved with the head and must be plain values: {error}"
            ) from error
        if self.head_init is not None and self.head != ENCODER:
            raise SourceError(
                f"a linear head to begin with is for head '{ENCODER}', not for '{self.head}'; "
                "leave out --head-init"
            )
        if self.head == ENCODER:
            self._check_encoder()
        require_metric_name(self.metric)
        checked["class_weights"] = checked_class_weights(self.class_weights)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def _check_encoder(self) -> None:
        if self.optimizer != "adamw":
            raise SourceError(
                f"head '{ENCODER}' is trained by adamw; leave out the optimizer {self.optimizer}"
            )
        if self.head_init is not None and "init" in self.head_args:
            raise SourceError("--head-init and --head-args init both say what to begin with; leave out one")
        try:
            check_arguments(self.head_args)
        except ValueError as error:
            raise SourceError(f"head '{ENCODER}': {error}; mend --head-args") from error

    @classmethod
    def of(cls, head: str = "linear", **changes: Any) -> "TrainConfig":
        """The configuration of a head, with the defaults of its kind (:data:`DEFAULTS`)."""
        return cls(head=head, **{**DEFAULTS.get(head, {}), **changes})


def require_metric_name(metric: str | None) -> None:
    """Raise SourceError for a metric that no task has."""
    if metric is not None and metric not in METRICS:
        raise SourceError(unknown("metric", metric, METRICS))


def checked_class_weights(
    class_weights: str | Mapping[Any, float] | None,
) -> str | Mapping[Any, float] | None:
    """The class weights. Raises SourceError unless they are ``balanced``, or numbers above 0 by label."""
    if isinstance(class_weights, Mapping):
        return {
            label: POSITIVE.checked(f"class weight of '{label}'", weight)
            for label, weight in class_weights.items()
        }
    if class_weights not in (None, "balanced"):
        raise SourceError(
            f"cannot read class weights '{class_weights}'; write balanced, or label=weight,label=weight"
        )
    return class_weights


DEFAULTS: dict[str, dict[str, Any]] = {
    # Of fine-tuning, more or less: what was pre-trained is changed a little at a time.
    ENCODER: {
        "learning_rate": 1e-4,
        "epochs": 3,
        "batch_size": 16,
        "schedule": "linear",
        "warmup": 0.1,
        "standardize": False,
    },
}
"""Training defaults of head kinds, where they are not those of :class:`TrainConfig`."""
RECIPES: dict[str, dict[str, Any]] = {
    # How a well-known tutorial trains on the features of the recipe of the same name.
    "flat32": {
        "head": "linear",
        "optimizer": "sgd",
        "learning_rate": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "batch_size": 16,
        "epochs": 4,
        "standardize": False,
    },
}
"""Training defaults that have a name."""
