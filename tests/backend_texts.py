"""Texts for tests of the backends, and what their features are compared with."""

from importlib.util import find_spec

import numpy as np
import pytest
from enc.engine import load_encoder
from enc.engine.encode.devices import cpu_has_bf16

TEXTS = [
    "a good hotel, very good!",
    "好 酒店 很 好",
    "x",
    "the room was not clean and " * 12,
    "don't",
    "no. no. no.",
] * 3
SETTINGS = [
    dict(),
    dict(pooling="max,cls", layers="1-2"),
    dict(pooling="tokens"),
    dict(layers=[1]),
    dict(pooling="tokens", layers="0"),
]
HAS_OPENVINO = find_spec("openvino") is not None
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this processor has no bf16")


def encoded(encoder, pairs=None) -> np.ndarray:
    """Features of the texts, in seven batches; those of tokens are padded with zeros to the longest text."""
    tokens = encoder.tokenize(TEXTS, pairs)
    batches = np.array_split(np.arange(len(TEXTS)), 7)
    found = list(encoder.encode(tokens.batch(rows) for rows in batches))
    if found[0].ndim == 3:
        width = max(one.shape[1] for one in found)
        found = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in found]
    return np.concatenate(found)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each row."""
    a, b = a.reshape(len(a), -1).astype(float), b.reshape(len(b), -1).astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def require_torchs_features(backend: str, folder, options: dict, *, pairs: bool) -> None:
    """The features of a backend in float32 are those of torch."""
    settings = dict(max_length=32, dtype="float32", precision="fp32") | options
    seconds = ["z y"] * len(TEXTS) if pairs else None
    expected = encoded(load_encoder(str(folder), backend="torch", **settings), seconds)
    encoder = load_encoder(str(folder), backend=backend, **settings)
    for _ in range(2):  # the second time with requests that were used before
        np.testing.assert_allclose(encoded(encoder, seconds), expected, atol=2e-5, rtol=2e-5)
