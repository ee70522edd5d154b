"""The seam at which backends differ: token ids in, features out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ...store import FeatureSpec, ModelError
from .collected import CollectedFeatures
from .tokens import TokenBatch, Tokens


class Backend(Protocol):
    """Runs a model's network on token ids."""

    @property
    def title(self) -> str:
        """Backend, precision and device, for people."""
        ...

    @property
    def tokens_per_batch(self) -> int:
        """The batch size, in tokens with padding, that suits library and device."""
        ...

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features float32 [rows, parts * hidden] of each batch, in order; [rows, length, …] of tokens.

        The next batches may be taken before the features of the first are given.
        """
        ...


class Choice(Protocol):
    """Decides which backend encodes."""

    def backend(self, sample: Tokens | None, texts: int) -> Backend:
        """The backend for about ``texts`` texts like those of the sample. It is asked once."""
        ...

    def ran(self, backend: Backend) -> None:
        """Called after batches were run, whose budget of tokens may have been lowered for want of memory."""
        ...

    def explain(self) -> str:
        """What was measured to decide, in one line; empty if nothing was."""
        ...

    @property
    def taken(self) -> Mapping[str, Any]:
        """What was chosen, for :meth:`take` of another process; empty where there was no choice."""
        ...

    def take(self, taken: Mapping[str, Any]) -> None:
        """Choose what was chosen before. It is called before :meth:`backend`, if at all."""
        ...


class Fixed:
    """The choice of one backend, which is made when there is something to encode."""

    def __init__(self, make: Callable[[], Backend]):
        self._make = make

    def backend(self, sample: Tokens | None, texts: int) -> Backend:
        """See :class:`Choice`."""
        return self._make()

    def ran(self, backend: Backend) -> None:
        """Nothing to remember."""

    def explain(self) -> str:
        """Nothing was measured."""
        return ""

    @property
    def taken(self) -> Mapping[str, Any]:
        """There is no choice."""
        return {}

    def take(self, taken: Mapping[str, Any]) -> None:
        """There is no choice."""


class Encoder:
    """Texts to features under one setting: a model's tokenizer, and the backend that runs its network.

    The backend is loaded when the first batch is encoded, so that texts which are known already cost
    neither its import nor the model's weights.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        layer_count: int,
        tokenize: Callable[[Sequence[str], Sequence[str] | None], Tokens],
        choice: Choice,
        say: Callable[[str], None] = lambda _: None,
    ):
        """``say`` is told what is loaded before it is, because that takes seconds."""
        self.spec = spec
        self.layer_count = layer_count
        """Layers of the whole model."""
        self._tokenize, self._choice, self._say = tokenize, choice, say
        self._backend: Backend | None = None

    @property
    def backend(self) -> Backend:
        """The backend; the one that suits a few texts where :meth:`prepare` was not called."""
        if self._backend is None:
            return self._load(None, 0)
        return self._backend

    @property
    def tokens_per_batch(self) -> int:
        """The batch size, in tokens with padding, that suits backend and device."""
        return self.backend.tokens_per_batch

    @property
    def title(self) -> str:
        """Backend, precision and device, for people."""
        return self.backend.title

    def explain(self) -> str:
        """What was measured to choose the backend, in one line; empty if nothing was."""
        return self._choice.explain()

    @property
    def taken(self) -> Mapping[str, Any]:
        """How the backend is had again by :meth:`take`; empty where there is no choice."""
        return self._choice.taken

    def take(self, taken: Mapping[str, Any]) -> None:
        """Encode as another process did, whose :attr:`taken` this is; before anything is encoded."""
        self._choice.take(taken)

    def lay_out_as(self, stored: FeatureSpec) -> None:
        """Keep the layout of tokens that a feature set has, if that is all in which its setting differs."""
        laid_out = self.spec.laid_out_as(stored)
        if laid_out.digest == stored.digest:
            self.spec = laid_out

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Token ids of texts or pairs, truncated to ``spec.max_length``.

        May be called from a second thread.
        """
        return self._tokenize(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Choose and load the backend for about ``texts`` texts like those of the sample."""
        if self._backend is None:
            self._load(sample, texts)

    def _load(self, sample: Tokens | None, texts: int) -> Backend:
        self._say(f"loading {self.spec.model} …")
        self._backend = self._choice.backend(sample, texts)
        return self._backend

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features [rows, *spec.shape] in the stored dtype for each batch, in order; of ragged tokens [rows,
        the longest, width].

        Raises ModelError for features that are not finite in that dtype.
        """
        for values in self.backend.run(batches):
            yield stored(values, self.spec)
        self._choice.ran(self.backend)


def encode_texts(encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
    """Features [texts, *spec.shape] of texts or pairs in memory, in the stored dtype, without a store."""
    tokens = encoder.tokenize(texts, pairs)
    encoder.prepare(tokens, len(tokens))
    collected = CollectedFeatures(tokens, encoder.spec)
    batches = tokens.batches(encoder.tokens_per_batch)
    for sequences, values in zip(batches, encoder.encode(tokens.batch(b) for b in batches), strict=True):
        collected.put(sequences, values)
    return collected.values


def smaller_budget(batch: TokenBatch, device: object, error: Exception) -> int:
    """Smaller batch size, in tokens, after running out of memory.

    Raises ModelError for a batch of one text.
    """
    rows, length = batch.input_ids.shape
    if rows == 1:
        raise ModelError(
            f"a single text of {length} tokens does not fit the memory of {device}; lower --max-length"
        ) from error
    return max(length, rows * length // 2)


def stored(values: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Computed features as they are stored: in the setting's dtype; padded token features to max_length.

    Raises ModelError for a value that does not fit.
    """
    with np.errstate(over="ignore"):
        values = values.astype(spec.numpy_dtype, copy=False)
    if not np.isfinite(values).all():
        raise ModelError(f"features of model '{spec.model}' do not fit {spec.dtype}; pass --dtype float32")
    if spec.pooling == ("tokens",) and not spec.is_ragged:
        values = np.pad(values, ((0, 0), (0, spec.max_length - values.shape[1]), (0, 0)))
    return values
