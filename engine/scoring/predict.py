"""What a head makes of a few texts in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...store import HeadError
from ..encode.encoder import Encoder, encode_texts
from ..heads.head import Head
from ..pairs.texts import pair_rows
from ..words.texts import Texts


@dataclass(frozen=True)
class Prediction:
    """What a head makes of one text."""

    value: Any
    """A label; a list of labels for several; a number for a regression."""
    proba: dict[Any, float]
    """Probability by label, the most probable first; empty for a regression."""


def predict_texts(
    head: Head, texts: Sequence[str], encoder: Encoder, pairs: Sequence[str] | None = None
) -> list[Prediction]:
    """What the head makes of each text (or pair); encodes every time."""
    head.require(encoder.spec)
    if head.combination is not None:
        if pairs is None:
            raise HeadError("the head compares two texts: pass the second ones, too, as pairs")
        features = encode_texts(encoder, [*texts, *pairs])
        rows = pair_rows(head.combination, head.spec, features, texts, pairs)
    else:
        rows = encode_texts(encoder, texts, pairs)
    outputs = head.outputs(rows, None if head.words is None else Texts.of(texts, pairs))
    shares: list[dict[Any, float]] = [{} for _ in outputs]
    if head.task.has_classes:
        shares = [
            dict(sorted(zip(head.labels.values, row, strict=True), key=lambda p: -p[1]))
            for row in outputs.tolist()
        ]
    return [
        Prediction(value, proba)
        for value, proba in zip(head.decided(outputs).to_pylist(), shares, strict=True)
    ]
