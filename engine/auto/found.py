"""What a search found, and what is kept of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..heads.head import Head
from .config import AutoConfig
from .judged import Judged, Stopped
from .search import Search
from .speeds import Sizes


@dataclass(frozen=True)
class Tried:
    """A line of the table that a search ends with."""

    name: str
    metric: float
    error: float | None
    """Standard error of the metric; None where it could not be told."""
    folds: int
    """Of the rows, on which it was judged."""
    seconds: float
    """It took to try it; encoding is a line of its own."""
    feature_bytes: int
    """A row, on disk."""
    head_bytes: int
    texts_per_second: float | None
    """Rows scored a second where their texts are new; None where that was not measured."""
    is_kept: bool
    can_be_kept: bool
    """Whether it is a head; the others are what heads are compared with."""


@dataclass(frozen=True)
class AutoFound:
    """What a search found."""

    head: Head
    metric: str
    tried: list[Tried]
    """In the order in which they were tried."""
    stopped: list[Stopped]
    """What was left before its last fold, and why."""
    reason: str
    next_steps: list[str]
    out_of_fold: pa.Table
    """A row for each training row: source, row, fold, label, prediction and probabilities, by heads that
    did not see the row; null in folds that the kept head was not judged on.
    """
    encoding_seconds: float
    """Of all layers; tokens not included."""

    @property
    def tables(self) -> dict[str, pa.Table]:
        """What is kept beside the head, by name."""
        rows = [vars(one) for one in self.tried]
        return {"auto": pa.Table.from_pylist(rows), "out_of_fold": self.out_of_fold}


def line_of(judged: Judged, kept: Judged, search: Search, sizes: Sizes) -> Tried:
    """A candidate's line of the table."""
    error = search.error(judged)
    return Tried(
        name=judged.name,
        metric=judged.mean,
        error=error if math.isfinite(error) else None,
        folds=len(judged.values),
        seconds=round(judged.seconds, 2),
        feature_bytes=sizes.feature_bytes,
        head_bytes=sizes.head_bytes,
        texts_per_second=sizes.texts_per_second,
        is_kept=judged is kept,
        can_be_kept=judged.is_head,
    )


def record_of(
    config: AutoConfig,
    kept: Judged,
    tried: Sequence[Tried],
    stopped: Sequence[Stopped],
    why: str,
    steps: Sequence[str],
) -> dict[str, Any]:
    """What a head's record says of the search."""
    done, folds = len(kept.values), config.folds
    return {
        "folds": folds,
        "figures_of": f"the setting on {folds if done == folds else f'{done} of {folds}'} held-out folds",
        "auto": {
            "minutes": config.minutes,
            "seed": config.seed,
            "tried": [vars(one) for one in tried],
            "stopped": [vars(one) for one in stopped],
            "reason": why,
            "next": list(steps),
        },
    }
