"""A fake at the real seam: an encoder whose features can be checked by eye, and which counts its work."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from enc.engine.encode.encoder import stored
from enc.engine.encode.tokens import TokenBatch, Tokens
from enc.store import FeatureSpec

TEXTS = [f"{'word ' * (i % 6)}{'x' * (1 + i % 7)}" for i in range(84)]
WORDS = [len(text.split()) for text in TEXTS]
FACTORS = {"mean": 1, "tokens": 1, "cls": 10, "max": 100}


def fake_spec(**changes) -> FeatureSpec:
    settings = dict(
        model="fake",
        weights="0" * 64,
        tokenizer="1" * 64,
        hidden_size=4,
        layers=(1,),
        pooling=("mean",),
        max_length=8,
        dtype="float32",
    )
    return FeatureSpec(**(settings | changes))


class FakeEncoder:
    """The "tokens" of a text are its words' lengths; its features are [words, letters, first, last] of those
    kept.

    Those of a token are [letters, 1, 2, letters]. Other layers and poolings have them multiplied.
    """

    layer_count = 1

    def __init__(self, *, tokens_per_batch: int = 64, fail_after: int | None = None, **changes):
        self.spec = fake_spec(**changes)
        self.tokens_per_batch = tokens_per_batch
        self.encoded = self.batches = 0
        self.fail_after = fail_after

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        joined = [a + " " + b for a, b in zip(texts, pairs, strict=True)] if pairs is not None else texts
        words = [[len(word) for word in text.split()] or [0] for text in joined]
        kept = [w[: self.spec.max_length] for w in words]
        flat = np.array([n for w in kept for n in w], np.int32)
        lengths = np.array([len(w) for w in kept], np.int32)
        n_tokens = np.array([len(w) for w in words], np.int32)
        return Tokens(
            flat, np.zeros(len(flat), np.uint8), lengths, n_tokens, n_tokens > lengths, np.arange(len(words))
        )

    title = "fake"

    def prepare(self, sample: Tokens, texts: int) -> None:
        self.prepared = texts

    def explain(self) -> str:
        return ""

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        for batch in batches:
            yield self.features(batch)

    def features(self, batch: TokenBatch) -> np.ndarray:
        self.batches += 1
        self.encoded += len(batch.input_ids)
        if self.fail_after is not None and self.batches > self.fail_after:
            raise RuntimeError("the encoder broke down")
        lengths = batch.attention_mask.sum(1)
        last = batch.input_ids[np.arange(len(lengths)), lengths - 1]
        features = np.stack([lengths, batch.input_ids.sum(1), batch.input_ids[:, 0], last], axis=1)
        if self.spec.pooling == ("tokens",):
            words = batch.input_ids[..., None] * np.array([1, 0, 0, 1]) + np.array([0, 1, 2, 0])
            features = words * batch.attention_mask[..., None]
        factors = [layer * FACTORS[pooling] for layer, pooling in self.spec.parts]
        return stored(np.concatenate([features * factor for factor in factors], -1), self.spec)
