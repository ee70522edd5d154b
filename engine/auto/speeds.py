"""How fast heads score texts that are new, and how much room they take."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..encode.encoder import Encoder, encode_texts
from ..heads.kinds import ENCODER
from ..train.fit import make_network
from ..train.solve_config import SolveConfig
from ..words.model import FittedWords, WordModel
from ..words.texts import Texts, strings
from .judged import Judged

_ENCODED = 256  # texts, to measure an encoder
_READ = 2000  # texts, to measure words


@dataclass(frozen=True)
class Sizes:
    """What a candidate costs."""

    feature_bytes: int
    """A row, on disk."""
    head_bytes: int
    texts_per_second: float | None
    """Rows scored a second, encoding included; None where that was not measured."""


class Speeds:
    """Seconds that a row takes, measured where they are first asked for."""

    def __init__(
        self,
        texts: Texts,
        encoder: Encoder | None,
        rate: float | None,
        *,
        is_separate: bool,
        token_bytes: Mapping[str, float],
    ):
        """``rate`` is that of encoding in texts/s, where it is known already, and ``token_bytes`` what the
        token features of a text take, on average, by the name of their feature set.
        """
        self._token_bytes = token_bytes
        self._texts, self._encoder, self._separate = texts, encoder, is_separate
        self._encoding = None if rate is None else (2 if is_separate else 1) / rate
        self._words: float | None = None

    def sizes(self, judged: Judged, fitted: FittedWords | None) -> Sizes:
        """What a candidate takes."""
        base = judged.base or judged
        seconds, feature_bytes, head_bytes = 0.0, 0, 0
        if base.candidate is not None:
            use = base.candidate.use
            is_tokens = len(use.shape) == 2
            of_text = self._token_bytes[base.served.feature_set] if is_tokens else use.row_bytes
            feature_bytes = round(of_text * (2 if base.candidate.combine else 1))
            head_bytes = _head_bytes(base)
            # Of a tuned head, its own layers are most of the time, and were not measured.
            seconds = np.nan if base.is_tuned else self._encoder_seconds() or np.nan
        if judged.has_words and fitted is not None:
            seconds += self._word_seconds(fitted.model)
            head_bytes += _word_bytes(fitted.model)
        rate = None if np.isnan(seconds) or not seconds else 1 / seconds
        return Sizes(feature_bytes, head_bytes, rate)

    def _encoder_seconds(self) -> float | None:
        if self._encoding is None and self._encoder is not None:
            some = self._texts.take(_some(len(self._texts), _ENCODED))
            first = list(strings(some.first))
            second = None if some.second is None else list(strings(some.second))
            if self._separate:
                first, second = [*first, *(second or [])], None
            encode_texts(self._encoder, first[:8], second[:8] if second else None)  # loads it
            started = time.perf_counter()
            encode_texts(self._encoder, first, second)
            self._encoding = (time.perf_counter() - started) / len(some)
        return self._encoding

    def _word_seconds(self, model: WordModel) -> float:
        if self._words is None:
            some = self._texts.take(_some(len(self._texts), _READ))
            started = time.perf_counter()
            model.logits(some)
            self._words = (time.perf_counter() - started) / len(some)
        return self._words


def _some(rows: int, most: int) -> np.ndarray:
    """Positions of at most so many rows, evenly spread."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))


def _head_bytes(judged: Judged) -> int:
    """Of the weights, which are most of a head."""
    candidate, served = judged.candidate, judged.served
    assert candidate is not None
    if isinstance(candidate.config, SolveConfig):
        return 4 * (served.shape[-1] + 1) * served.outputs
    config = candidate.config
    if config.head == ENCODER:  # without fitting what its classifier begins as
        config = replace(config, head_args={**config.head_args, "init": "model"})
    return 4 * make_network(served, config).parameters_count


def _word_bytes(model: WordModel) -> int:
    """Of the n-grams and their weights."""
    terms = sum(len(term.encode()) + 4 for block in model.features.blocks for term in block.terms)
    idf = sum(block.idf.nbytes for block in model.features.blocks)
    return terms + idf + model.weights.nbytes + model.bias.nbytes
