"""What a fine-tuned model says of the rows that it was evaluated on last."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .text_sets import TextSet


@dataclass(frozen=True)
class JudgedRows:
    """Rows of a validation set with the model's probabilities, in the order of the file."""

    labels: tuple[str, ...]
    truth: np.ndarray
    """Class numbers, int64 [rows]."""
    probabilities: np.ndarray
    """float32 [rows, labels]"""
    rows: np.ndarray
    """Where each row stands in its file, from 1; int64 [rows]."""
    tokens: np.ndarray
    """Tokens of each text before it was cut, int32 [rows]."""
    truncated: np.ndarray
    texts: list[str]
    """The texts as the model reads them."""


def judged_rows(
    logits: np.ndarray, served: TextSet, labels: tuple[str, ...], tokenizer: Any, most: int
) -> JudgedRows | None:
    """Of logits float32 [rows, labels] in the order in which the set served its rows; at most ``most`` rows,
    chosen at random.

    None without labels, and where there are not as many logits as rows.
    """
    if served.targets is None or logits.ndim != 2 or logits.shape != (len(served), len(labels)):
        return None
    values = np.empty(logits.shape, np.float32)
    values[served.order] = logits
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(len(served), min(most, len(served)), replace=False))
    values = np.exp(values[kept] - values[kept].max(1, keepdims=True))
    tokens, starts = served.tokens, served.tokens.starts
    ids = [tokens.ids[starts[row] : starts[row] + tokens.lengths[row]].tolist() for row in kept.tolist()]
    return JudgedRows(
        labels, served.targets[kept], values / values.sum(1, keepdims=True), served.rows[kept],
        tokens.n_tokens[kept], tokens.truncated[kept],
        tokenizer.batch_decode(ids, skip_special_tokens=True),
    )  # fmt: skip
