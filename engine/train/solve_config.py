"""How a linear head is solved for to convergence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...store import SourceError
from .config import checked_class_weights, require_metric_name
from .ranges import NOT_NEGATIVE, SEED, SHARE_OR_0

L2_PATH = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)


@dataclass(frozen=True)
class SolveConfig:
    """How a linear head is solved for to convergence, see :func:`engine.train.solve.solve`."""

    l2: Sequence[float] = L2_PATH
    """Strengths of regularisation to try: ``l2 / 2`` times the squared weights is added to the loss."""
    class_weights: str | Mapping[Any, float] | None = None
    """``balanced``, or weights by label; see :func:`engine.heads.tasks.loss_weights`."""
    label_smoothing: float = 0.0
    """Share of a target's weight that is spread over all classes."""
    metric: str | None = None
    """One of :data:`engine.heads.metrics.METRICS` that chooses the strength; the task's own unless given."""
    seed: int = 42
    """Decides which rows are held out, and the folds."""
    head: ClassVar[str] = "linear"
    allow_code: ClassVar[bool] = False
    head_args: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if isinstance(self.l2, str) or not isinstance(self.l2, Sequence) or not self.l2:
            raise SourceError(f"l2 must be one or more numbers, such as (1.0, 0.1, 0.01), not {self.l2!r}")
        require_metric_name(self.metric)
        checked = {
            "l2": tuple(NOT_NEGATIVE.checked("l2", strength) for strength in self.l2),
            "class_weights": checked_class_weights(self.class_weights),
            "label_smoothing": SHARE_OR_0.checked("label_smoothing", self.label_smoothing),
            "seed": SEED.checked("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
