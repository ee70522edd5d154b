"""The seam at which backends differ, and the way from a model's name to an encoder."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..store import FeatureSpec, ModelError
from .models import EMBEDDED_MODEL
from .tokens import TokenBatch, Tokens, length_sorted_batches

BACKENDS = ("auto", "torch", "openvino", "onnx")
PRECISIONS = ("fp32", "bf16", "fp16")


class Encoder(Protocol):
    """Texts to features under one setting."""

    spec: FeatureSpec
    layer_count: int
    """Layers of the whole model."""

    @property
    def tokens_per_batch(self) -> int:
        """The batch size, in tokens with padding, that suits backend and device."""
        ...

    @property
    def title(self) -> str:
        """Backend, precision and device, for people."""
        ...

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Token ids of texts or pairs, truncated to ``spec.max_length``. Called from a second thread."""
        ...

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Get ready for about ``texts`` texts like those of the sample; called before the first batch."""
        ...

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features [rows, *spec.shape] in the stored dtype for each batch, in order.

        The next batches may be taken before the features of the first are given.
        """
        ...


def load_encoder(
    model: str = EMBEDDED_MODEL,
    *,
    pooling: str | Sequence[str] = "mean",
    layers: str | Sequence[int] = "last",
    max_length: int = 128,
    prefix: str = "",
    dtype: str = "float16",
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
) -> Encoder:
    """Load a BERT-like encoder: ``minilm`` (comes with enc), a local folder, or a hub id.

    ``layers`` is ``last``, ``all``, or numbers from 1, also as text: ``"6"``, ``"3,6"``, ``"9-12"``.
    ``backend`` and ``precision`` decide how features are computed, not which: see
    :mod:`engine.calibrate` for ``auto``. Only safetensors weights are read, and no code from the
    model's folder is run. Raises ModelError where the model or backend cannot be had and SpecError
    where the setting is impossible.
    """
    from .calibrate import choose_encoder  # torch and transformers take seconds to import
    from .checkpoint import checkpoint_of

    checkpoint = checkpoint_of(model, pooling=pooling, layers=layers, max_length=max_length, prefix=prefix, dtype=dtype)
    return choose_encoder(checkpoint, backend=backend, precision=precision, device=device)


def load_encoder_of(
    spec: FeatureSpec,
    *,
    model: str | None = None,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
) -> Encoder:
    """Load the encoder of a setting, from its recorded model or from ``model`` where that has moved.

    Raises ModelError if what is found there is not the same encoder.
    """
    encoder = load_encoder(
        model or spec.model,
        pooling=spec.pooling,
        layers=spec.layers,
        max_length=spec.max_length,
        prefix=spec.prefix,
        dtype=spec.dtype,
        backend=backend,
        precision=precision,
        device=device,
    )
    differences = spec.differences(encoder.spec)
    if differences:
        raise ModelError(
            f"model '{model or spec.model}' is not the one the features were made with ({'; '.join(differences)}); "
            "pass --model with the folder of that one"
        )
    return encoder


def encode_texts(encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
    """Features [texts, *spec.shape] of texts or pairs in memory, in the stored dtype, without a store."""
    tokens = encoder.tokenize(texts, pairs)
    features = np.empty((len(tokens), *encoder.spec.shape), encoder.spec.numpy_dtype)
    batches = list(length_sorted_batches(tokens.lengths, encoder.tokens_per_batch))
    for rows, values in zip(batches, encoder.encode(tokens.batch(rows) for rows in batches), strict=True):
        features[rows] = values
    return features


def stored(values: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Computed features as they are stored: in the setting's dtype, token features padded to max_length.

    Raises ModelError for a value that does not fit.
    """
    with np.errstate(over="ignore"):
        values = values.astype(spec.numpy_dtype, copy=False)
    if not np.isfinite(values).all():
        raise ModelError(f"features of model '{spec.model}' do not fit {spec.dtype}; pass --dtype float32")
    if spec.pooling == ("tokens",):
        values = np.pad(values, ((0, 0), (0, spec.max_length - values.shape[1]), (0, 0)))
    return values
