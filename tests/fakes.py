"""A fake at the real seam: a backend whose features can be checked by eye, and which counts its work.

Everything else of the encoder is real: its tokenizing, its batches, and how features are stored.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from enc.engine.encode.encoder import Encoder, Fixed
from enc.engine.encode.tokens import TokenBatch
from enc.engine.encode.tokens import Tokenizer as SpecTokenizer
from enc.store import FeatureSpec
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

TEXTS = [f"{'word ' * (i % 6)}{'x' * (1 + i % 7)}" for i in range(84)]
WORDS = [len(text.split()) for text in TEXTS]
FACTORS = {"mean": 1, "tokens": 1, "cls": 10, "max": 100}
LONGEST_WORD = 300


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


def word_lengths() -> Tokenizer:
    """A tokenizer whose token ids are the lengths of the words; it has no special tokens."""
    vocabulary = {"x" * length: length for length in range(1, LONGEST_WORD + 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="longer than any word"))  # which raises
    tokenizer.normalizer = normalizers.Replace(Regex(r"\S"), "x")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


class FakeBackend:
    """The features of a text are [words, letters, first, last] of its words' lengths, as far as kept.

    Those of a token are [letters, 1, 2, letters]. Other layers and poolings have them multiplied.
    """

    title = "fake"

    def __init__(self, spec: FeatureSpec, tokens_per_batch: int, fail_after: int | None):
        self.tokens_per_batch = tokens_per_batch
        self.encoded = self.batches = 0
        self._spec, self._fail_after = spec, fail_after

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        for batch in batches:
            self.batches += 1
            self.encoded += len(batch.input_ids)
            if self._fail_after is not None and self.batches > self._fail_after:
                raise RuntimeError("the encoder broke down")
            yield self._features(batch)

    def _features(self, batch: TokenBatch) -> np.ndarray:
        lengths = batch.attention_mask.sum(1)
        last = batch.input_ids[np.arange(len(lengths)), lengths - 1]
        features = np.stack([lengths, batch.input_ids.sum(1), batch.input_ids[:, 0], last], axis=1)
        if self._spec.pooling == ("tokens",):
            words = batch.input_ids[..., None] * np.array([1, 0, 0, 1]) + np.array([0, 1, 2, 0])
            features = words * batch.attention_mask[..., None]
        factors = [layer * FACTORS[pooling] for layer, pooling in self._spec.parts]
        return np.concatenate([features * factor for factor in factors], -1).astype(np.float32)


class FakeEncoder(Encoder):
    """An encoder over a fake backend, which is there from the beginning to be asked for its counts."""

    def __init__(self, *, tokens_per_batch: int = 64, fail_after: int | None = None, **changes):
        spec = fake_spec(**changes)
        self.fake = FakeBackend(spec, tokens_per_batch, fail_after)
        super().__init__(spec, 1, SpecTokenizer(word_lengths(), spec), Fixed(lambda: self.fake))

    @property
    def encoded(self) -> int:
        """Texts that the backend was given."""
        return self.fake.encoded


class Heard:
    """Remembers what it was told of progress."""

    def __init__(self):
        self.told = []

    def __call__(self, stage, done, total, remark="", /):
        self.told.append((stage, done, total, remark))

    def of(self, stage):
        """What is done and how much there is, each time the stage was told of."""
        return [(done, total) for name, done, total, _ in self.told if name == stage]
