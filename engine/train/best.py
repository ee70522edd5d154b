"""Which epoch is best: one rule for single heads, for stacks of heads, and for paths of regularisation."""

from dataclasses import dataclass

from ...store import SourceError
from ..heads.metrics import is_better


@dataclass
class BestEpoch:
    """The best epoch so far by one metric on the validation rows; of equal epochs, the first.

    An epoch in which the metric is undefined is never the best. A path of regularisation counts its steps
    as epochs.
    """

    metric: str
    patience: int | None = None
    """Epochs without a better one after which training ends; None for no such end."""
    epoch: int = 0
    """Number of the best epoch, from 1; 0 before the metric was defined in any."""
    value: float | None = None
    """The metric in the best epoch."""

    def improves(self, epoch: int, value: float | None) -> bool:
        """Take in an epoch's metric. Returns whether this epoch is the best so far and must be kept."""
        if not is_better(self.metric, value, self.value):
            return False
        self.epoch, self.value = epoch, value
        return True

    def is_over(self, epoch: int) -> bool:
        """Whether training ends after this epoch, because the best one is too long ago."""
        return self.patience is not None and epoch - self.epoch >= self.patience


def undefined_metric(metric: str) -> SourceError:
    """The error where nothing can be judged by a metric."""
    return SourceError(f"metric '{metric}' is undefined on the validation rows; pass another with --metric")
