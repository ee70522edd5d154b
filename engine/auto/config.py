"""How a head is searched for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...store import SourceError
from ..train.solve_config import SolveConfig
from ..train.validation import Folds

MOST_MINUTES = 100_000


@dataclass(frozen=True)
class AutoConfig:
    """How a head is searched for, see :func:`engine.auto.run.auto_head`."""

    minutes: float = 10.0
    """How long the search may take, encoding included."""
    folds: int = 5
    """Folds of the texts that the candidates are judged by."""
    metric: str | None = None
    """One of :data:`engine.heads.metrics.METRICS` that the candidates are judged by; the task's own unless
    given.
    """
    class_weights: str | Mapping[Any, float] | None = None
    """``balanced``, or weights by label, as in :class:`engine.train.config.TrainConfig`."""
    seed: int = 42
    """Decides the folds, and what is random in a head."""

    def __post_init__(self) -> None:
        minutes = self.minutes
        if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
            raise SourceError(f"minutes must be a number, not {minutes!r}")
        if not 0 < minutes <= MOST_MINUTES:
            raise SourceError(f"minutes must be above 0 and at most {MOST_MINUTES:,}, not {minutes!r}")
        Folds(self.folds)
        _ = self.linear  # which checks the rest

    @property
    def linear(self) -> SolveConfig:
        """Of the linear heads."""
        return SolveConfig(class_weights=self.class_weights, metric=self.metric, seed=self.seed)
