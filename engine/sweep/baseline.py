"""What words alone reach on the rows that a head is judged on: an honest figure beside the head's."""

from pathlib import Path
from typing import Any, Unpack

from ...store import FeatureTable, Source
from ..heads.head import Head
from ..train.examples import RowOptions
from ..words.settings import WordSettings
from .words_on_rows import WordsOnRows

SECONDS_A_BYTE = 15e-6
"""Of the texts, for a model of their words and its folds, on a slow core."""
_LEAST_BYTES = 20  # of a text, before the texts are read


def words_alone(
    head: Head,
    train: Source,
    table: FeatureTable | str | Path,
    *,
    seed: int,
    most_seconds: float | None = None,
    **rows: Unpack[RowOptions],
) -> dict[str, Any] | None:
    """Figures of a linear model on the words of a head's training rows, under ``alone``.

    The rows are judged as the head's are: see :func:`engine.sweep.with_words.add_words`. None where that
    would take longer than ``most_seconds``, by the number of rows and the length of their texts.
    """
    count = head.metrics["train_rows"]
    if most_seconds is not None and count * _LEAST_BYTES * SECONDS_A_BYTE > most_seconds:
        return None
    on_rows = WordsOnRows.load(head, train, table, settings=WordSettings(), seed=seed, **rows)
    texts = on_rows.data.train.texts
    assert texts is not None
    if most_seconds is not None and texts.bytes * SECONDS_A_BYTE > most_seconds:
        return None
    return {"features": on_rows.fitted.model.features.title, "alone": on_rows.alone()}
