"""The texts of pairs that are encoded apart, as single texts: what is looked up, and what is encoded."""

from dataclasses import replace

import numpy as np

from . import plan
from .errors import SourceError
from .share import WHOLE, Share
from .source import Source
from .stage import Stage

SIDES = "_sides"
"""What the name of the view of both texts ends in."""


def encoded_texts(stage: Stage) -> Stage:
    """The stage whose texts are encoded: the stage itself, or a view of both texts of each of its pairs.

    In the view, row 2n is the first text of row n, and row 2n + 1 the second one. Their keys are those of
    single texts, so that features are shared with them.
    """
    if not stage.source.is_separate:
        return stage
    name = f"{stage.name}{SIDES}"
    stage.con.execute(f"CREATE OR REPLACE VIEW {name} AS {sides_sql(stage.name, stage.share)}")
    return replace(
        stage,
        name=name,
        pair_column=None,
        rows=2 * stage.rows,
        ids=2 * stage.ids,
        first_ids=tuple(2 * first for first in stage.first_ids),
    )


def require_joint(source: Source) -> None:
    """Raise SourceError for pairs that are encoded apart, where a row must have features of its own."""
    if source.is_separate:
        raise SourceError(
            f"the texts of {source.title} are encoded apart, and a pair has no features of its own; name one "
            f"column at a time: '{source.text_column}', then '{source.pair_column}'"
        )


def sides_sql(stage: str, share: Share = WHOLE) -> str:
    """``id, source, row, key, text, pair, label, reason`` of the usable rows' texts that are in a share."""
    sides = (
        f"SELECT 2 * id + {number} AS id, source, row, {plan.key_sql(column)} AS key, {column} AS text, "
        f"NULL::VARCHAR AS pair, label, reason FROM {stage} WHERE key IS NOT NULL"
        for number, column in enumerate(("text", "pair"))
    )
    both = " UNION ALL ".join(sides)
    return both if share.is_whole else f"SELECT * FROM ({both}) WHERE {share.holds_sql('key')}"


def locations_of_rows(stage: Stage, locations: np.ndarray) -> np.ndarray:
    """Locations by the stage's rows, of those found for :func:`encoded_texts`: int64 [ids], or [ids, 2] for
    pairs that are encoded apart.
    """
    return locations.reshape(-1, 2) if stage.source.is_separate else locations
