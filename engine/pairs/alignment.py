"""How well the tokens of two texts match each other, as BERTScore measures it.

Each token's best match is its highest cosine to a token of the other text.
Zhang et al., BERTScore: Evaluating Text Generation with BERT, https://arxiv.org/abs/1904.09675
"""

import numpy as np

from ...store import FeatureSpec
from .token_block import TokenBlock

FIGURES = 6
"""Numbers of each layer: mean, worst, and mean weighted by rarity, of the first text's tokens and of the
second's.
"""
_LEAST_WEIGHT = 1e-3


def alignment_width(spec: FeatureSpec) -> int:
    """How many numbers :func:`alignment` makes of a pair."""
    return FIGURES * len(spec.layers)


def token_directions(spec: FeatureSpec, tokens: TokenBlock) -> tuple[np.ndarray, np.ndarray]:
    """Token vectors of length 1, float32 [rows, layers, tokens, hidden], and which are tokens, bool [rows,
    tokens].

    The first and the last token of a text are left out where they are special tokens, which match each other
    whatever a text says.
    """
    is_token = _without_ends(tokens.is_token) if spec.special_tokens else tokens.is_token
    vectors = tokens.vectors.transpose(0, 2, 1, 3)
    sizes = np.sqrt(np.einsum("rlth,rlth->rlt", vectors, vectors))[..., None]
    return np.divide(vectors, np.where(sizes > 0, sizes, 1)), is_token


def alignment(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], common: np.ndarray
) -> np.ndarray:
    """Figures of the best matches, float32 [rows, FIGURES * layers], of :func:`token_directions` of both.

    ``common`` [layers, hidden] is the direction that tokens have in common (:class:`CommonDirections`): the
    further a token is from it, the rarer it is, and the more it weighs in the weighted mean. Where a text has
    no tokens, its figures are 0.
    """
    (one, one_known), (other, other_known) = first, second
    similar = np.matmul(one, other.swapaxes(2, 3))  # [rows, layers, tokens, tokens]
    known = one_known[:, None, :, None] & other_known[:, None, None, :]
    similar = np.where(known, similar, np.float32(-2))
    figures = []
    sides = (one, one_known, similar.max(3)), (other, other_known, similar.max(2))
    for vectors, is_token, matches in sides:
        is_matched = is_token[:, None, :] & (matches > -2)
        rarity = np.maximum(1 - np.einsum("rlth,lh->rlt", vectors, common), _LEAST_WEIGHT)
        best = np.where(is_matched, matches, 0)
        worst = np.where(is_matched, best, 2).min(2)
        figures += [
            _mean(best, is_matched.astype(np.float32)),
            np.where(worst < 2, worst, 0),
            _mean(best, np.where(is_matched, rarity, 0)),
        ]
    return np.stack(figures, axis=2).reshape(len(one), -1).astype(np.float32)


class CommonDirections:
    """Sums up token vectors, for the direction that the tokens of each layer have in common."""

    def __init__(self, spec: FeatureSpec):
        self._spec = spec
        self._sum = np.zeros((len(spec.layers), spec.hidden_size))

    def add(self, features: np.ndarray) -> None:
        """Add token features [rows, max_length, layers * hidden]."""
        vectors, is_token = token_directions(self._spec, TokenBlock.of(self._spec, features))
        self._sum += np.einsum("rlth,rt->lh", vectors, is_token.astype(np.float32))

    def table(self) -> np.ndarray:
        """Directions of length 1, float32 [layers, hidden]."""
        sizes = np.linalg.norm(self._sum, axis=1, keepdims=True)
        return np.divide(self._sum, sizes, out=np.zeros_like(self._sum), where=sizes > 0).astype(np.float32)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (values * weights).sum(2) / np.maximum(weights.sum(2), 1e-9)


def _without_ends(is_token: np.ndarray) -> np.ndarray:
    """The tokens without the first and the last one of each row."""
    rows, kept = np.arange(len(is_token)), is_token.copy()
    kept[rows, is_token.argmax(1)] = False
    kept[rows, is_token.shape[1] - 1 - is_token[:, ::-1].argmax(1)] = False
    return kept
