"""`enc train-head` in several processes that torchrun started."""

import os
from typing import Any

import click

from .sweep import is_sweep
from .train_head_words import word_settings


def join_ranks(values: dict[str, Any], *, build: bool) -> bool:
    """Join the processes that torchrun started, if it did; returns whether this is the first of them.

    Raises HeadError for what they cannot do together.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return True
    from ..engine.train.ranks import started_ranks
    from ..store import HeadError

    wrong = {
        "--sweep, --seeds, --folds and --ensemble": is_sweep(values),
        "--solver lbfgs": values["solver"] == "lbfgs",
        "--words": bool(word_settings(values)),
        "--build": build,
    }
    if said := [name for name, is_asked in wrong.items() if is_asked]:
        raise HeadError(f"torchrun trains one head by SGD or AdamW; leave out {said[0]}, or torchrun")
    values["batches"] = values["batches"] or "mapped"
    return click.get_current_context().with_resource(started_ranks()) == 0
