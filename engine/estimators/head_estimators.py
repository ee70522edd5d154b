"""The trainers of heads as scikit-learn estimators over arrays of features."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ..heads.head import Head
from ..heads.labels import Labels
from ..heads.tasks import REGRESSION, SINGLE_LABEL, Task
from ..train.arrays import array_data, held_out_rows
from ..train.solve_config import SolveConfig
from .head_options import L2, config_of, needs_held_out_rows


class HeadClassifier(ClassifierMixin, BaseEstimator):
    """A head that is trained on an array of features, as ``enc train-head`` trains it on stored ones.

    >>> HeadClassifier(l2=0.1).fit(features, labels).predict(new_features)

    A linear head is solved for to convergence, as a logistic regression with the strength of regularisation
    ``l2``, per row and of standardized features (``C`` of scikit-learn is ``1 / (l2 * rows)``, of two classes
    ``2 / (l2 * rows)``). Of several strengths the best by ``metric`` is kept. Other heads, and the linear one
    with ``solver="gradient"``, are trained by gradient descent, with the options of
    :class:`engine.train.config.TrainConfig`. ``head`` is ``linear``, ``mlp``, or ``module:Class``, a torch
    module of yours, whose code is imported with ``allow_code=True`` alone; ``head_args`` are its arguments.
    ``metric`` and ``early_stopping`` (epochs without a better one, after which training ends), and several
    strengths, need rows to validate on: these are ``validation_fraction`` of the rows given, chosen by
    ``random_state``, with equal rows on the same side. Nothing else holds rows out. Labels may be texts,
    integers, booleans, or whole numbers as floats. Options that the solver does not use are refused.

    After ``fit`` there are ``classes_``, ``n_features_in_``, and the trained :class:`enc.Head` as ``head_``.
    Arrays of other than finite numbers, and labels of one class, raise ValueError; impossible options
    raise SourceError; a head that cannot be made raises HeadError.
    """

    def __init__(
        self,
        head: str = "linear",
        *,
        head_args: Mapping[str, Any] | None = None,
        allow_code: bool = False,
        solver: str = "auto",
        l2: float | Sequence[float] = L2,
        optimizer: str = "adamw",
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        warmup: float = 0.0,
        weight_decay: float = 1e-2,
        momentum: float = 0.9,
        standardize: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
        label_smoothing: float = 0.0,
        metric: str | None = None,
        early_stopping: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 42,
    ):
        self.head = head
        self.head_args = head_args
        self.allow_code = allow_code
        self.solver = solver
        self.l2 = l2
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.standardize = standardize
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.metric = metric
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "HeadClassifier":  # noqa: N803
        """Train on features [rows, width] and labels [rows]."""
        features, labels = validate_data(self, X, y, dtype=np.float32, force_writeable=True)
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"the labels are all of one class, {self.classes_[0]!r}; a classifier needs two or more"
            )
        self.head_ = _trained(self, features, targets, SINGLE_LABEL, _labels(self.classes_))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities float64 [rows, classes], in the order of ``classes_``."""
        return _outputs(self, X)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each row, in the type of the labels that ``fit`` was given."""
        numbers = SINGLE_LABEL.decide(_outputs(self, X))
        return self.classes_[numbers]


class HeadRegressor(RegressorMixin, BaseEstimator):
    """A head that predicts a number from an array of features.

    The linear head is solved for as a ridge regression (``alpha`` of scikit-learn is ``l2 * rows / 2``, of
    standardized features and targets). For all parameters see :class:`HeadClassifier`.
    Targets may be of any size: they are standardized for training.
    """

    def __init__(
        self,
        head: str = "linear",
        *,
        head_args: Mapping[str, Any] | None = None,
        allow_code: bool = False,
        solver: str = "auto",
        l2: float | Sequence[float] = L2,
        optimizer: str = "adamw",
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        warmup: float = 0.0,
        weight_decay: float = 1e-2,
        momentum: float = 0.9,
        standardize: bool = True,
        metric: str | None = None,
        early_stopping: int | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = 42,
    ):
        self.head = head
        self.head_args = head_args
        self.allow_code = allow_code
        self.solver = solver
        self.l2 = l2
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.standardize = standardize
        self.metric = metric
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "HeadRegressor":  # noqa: N803
        """Train on features [rows, width] and numbers [rows]."""
        features, numbers = validate_data(self, X, y, dtype=np.float32, y_numeric=True, force_writeable=True)
        with np.errstate(over="ignore"):
            targets = column_or_1d(numbers, warn=True).astype(np.float32)
        if not np.isfinite(targets).all():
            raise ValueError("y holds a number that float32 cannot hold, in which heads are trained")
        self.head_ = _trained(self, features, targets, REGRESSION, Labels(()))
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Predicted numbers float64 [rows]."""
        return _outputs(self, X)[:, 0]


def _trained(
    estimator: HeadClassifier | HeadRegressor,
    features: Any,
    targets: np.ndarray,
    task: Task,
    labels: Labels,
) -> Head:
    config = config_of(estimator.get_params(deep=False), estimator.random_state)
    held_out = None
    if needs_held_out_rows(config):
        held_out = held_out_rows(features, estimator.validation_fraction, config.seed)
    data = array_data(features, targets, task, labels, held_out)
    if isinstance(config, SolveConfig):
        from ..train.solve import solve

        head = solve(data, config)
    else:
        from ..train.fit import fit

        head = fit(data, config)
    return head.replace()  # without the network, which is made again where it is needed


def _outputs(estimator: HeadClassifier | HeadRegressor, X: Any) -> np.ndarray:  # noqa: N803
    check_is_fitted(estimator, "head_")
    features: Any = validate_data(estimator, X, dtype=np.float32, reset=False)
    return estimator.head_.outputs(features.astype(np.float64)).astype(np.float64, copy=False)


def _labels(classes: np.ndarray) -> Labels:
    """The classes as a head keeps them: booleans, whole numbers or texts."""
    values = classes.tolist()
    if all(isinstance(value, float) and value.is_integer() for value in values):
        values = [int(value) for value in values]
    if len({type(value) for value in values}) > 1 or not isinstance(values[0], (bool, int, str)):
        values = [str(value) for value in values]
    return Labels(tuple(values))
