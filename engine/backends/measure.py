"""The ways to encode, measured on texts of the user's: how fast each is, and how near to float32."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import cycle

import numpy as np
import onnxruntime

from ...store import ModelError, Source, SourceError
from ...store.duck import workspace
from ...store.stage import stage_source
from ..encode.checkpoint import Checkpoint
from ..encode.devices import cpu_has_bf16
from ..encode.encoder import Encoder
from ..encode.tokens import TokenBatch, Tokens, length_sorted_batches
from .onnx_backend import PROVIDERS, OnnxEncoder, TensorRtEncoder
from .openvino_backend import OpenVinoEncoder
from .torch_backend import TorchEncoder

MIN_COSINE = 0.9999
"""Mean cosine to float32 below which a backend is not of the precision class ``full``."""
SECONDS_EACH = 0.5
SAMPLE_TEXTS = 512
COMPARED_TEXTS = 24
MAKERS = {
    "torch": TorchEncoder,
    "openvino": OpenVinoEncoder,
    "onnx": OnnxEncoder,
    "tensorrt": TensorRtEncoder,
}
PRECISIONS = {"torch": ("fp32", "bf16", "fp16"), "openvino": ("fp32", "bf16"), "onnx": ("fp32",)}
_PRECISIONS_ON_CUDA = {"torch": ("fp32", "bf16", "fp16"), "onnx": ("fp16",), "tensorrt": ("fp16",)}
_PROVIDERS_ON_CUDA = {"onnx": PROVIDERS["cuda"], "tensorrt": PROVIDERS["tensorrt"]}


@dataclass(frozen=True)
class Candidate:
    """A way to compute features, and what was measured of it."""

    backend: str
    precision: str
    tokens_per_batch: int = 0
    texts_per_second: float = 0.0
    cosine: float = 0.0
    """Mean cosine to float32 on the sample."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""

    @property
    def name(self) -> str:
        """Backend and precision."""
        return f"{self.backend} {self.precision}"


def candidates(checkpoint: Checkpoint, precision: str | None, device: str) -> list[Candidate]:
    """What is worth measuring here, float32 on torch first.

    Features stored in float32 are wanted at that precision, so lower ones are left out unless asked for.
    """
    if device.startswith("cuda"):
        precisions, has = ["fp32", "bf16", "fp16"], _PRECISIONS_ON_CUDA
        there = onnxruntime.get_available_providers() if find_spec("onnx") else []
        backends = ["torch", *(name for name, provider in _PROVIDERS_ON_CUDA.items() if provider in there)]
    else:
        has = PRECISIONS
        precisions = ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]
        backends = ["torch", *(name for name in ("openvino", "onnx") if find_spec(name))]
    if precision is not None:
        precisions = [precision]
    elif checkpoint.spec.dtype == "float32":
        precisions = ["fp32"]
    return [Candidate(b, p) for p in precisions for b in backends if p in has[b]]


def likely_fastest(options: Sequence[Candidate]) -> list[Candidate]:
    """Of the candidates on a CPU, float32 on torch, and those that were fastest wherever all were measured.

    That is the lowest precision of torch and of OpenVINO; ONNX Runtime only where the latter is not installed.
    """
    lowest = options[-1].precision
    backends = ("torch", "openvino" if any(c.backend == "openvino" for c in options) else "onnx")
    return [c for c in options if c == options[0] or (c.precision == lowest and c.backend in backends)]


def measure(
    checkpoint: Checkpoint, device: str, sample: Tokens, chosen: Sequence[Candidate]
) -> list[Candidate]:
    """Rate of each candidate on the sample, and its cosine to float32 on torch."""
    results: list[Candidate] = []
    fastest: tuple[int, Encoder] | None = None
    for candidate in chosen:
        try:
            encoder = MAKERS[candidate.backend](checkpoint, precision=candidate.precision, device=device)
            result = measure_one(encoder, candidate, checkpoint, sample)
        except ModelError as error:
            results.append(replace(candidate, problem=str(error)))
            continue
        if result.cosine < MIN_COSINE:
            result = replace(result, problem=f"features differ from float32 (cosine {result.cosine:.5f})")
        elif fastest is None or result.texts_per_second > results[fastest[0]].texts_per_second:
            fastest = len(results), encoder
        results.append(result)
    if fastest is not None:  # other batch sizes are tried for the winner only
        index, encoder = fastest
        for budget in (encoder.tokens_per_batch // 2, encoder.tokens_per_batch * 2):
            speed = rate(encoder, sample, _rows(sample), budget)
            if speed > results[index].texts_per_second:
                results[index] = replace(results[index], tokens_per_batch=budget, texts_per_second=speed)
    return results


def measure_one(encoder: Encoder, candidate: Candidate, checkpoint: Checkpoint, sample: Tokens) -> Candidate:
    """Rate of an encoder on the sample, and its cosine to float32 on torch."""
    rows = _rows(sample)
    compared = sample.batch(rows[:COMPARED_TEXTS])
    reference = next(TorchEncoder(checkpoint).encode([compared]))
    features = next(iter(encoder.encode([compared])))  # also the warm-up
    cosine = float(np.mean(cosines(features, reference)))
    budget = encoder.tokens_per_batch
    speed = rate(encoder, sample, rows, budget)
    return replace(candidate, tokens_per_batch=budget, texts_per_second=speed, cosine=round(cosine, 6))


def _rows(sample: Tokens) -> np.ndarray:
    """Sequences to measure on."""
    return np.sort(np.random.default_rng(0).permutation(len(sample.lengths))[:SAMPLE_TEXTS])


def sample_of(encoder: Encoder, source: Source) -> Tokens:
    """A random sample of a source's texts, tokenized. Raises SourceError if it has none."""
    with workspace() as con:
        stage = stage_source(con, source)
        rows = con.sql(
            f"SELECT text, pair FROM {stage.name} WHERE key IS NOT NULL USING SAMPLE {SAMPLE_TEXTS} ROWS (reservoir, 0)"
        ).fetchall()
    if not rows:
        raise SourceError(f"{source.title} has no text to measure on")
    return encoder.tokenize(
        [text for text, _ in rows], [pair for _, pair in rows] if stage.pair_column else None
    )


def cosines(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine, float64 [rows], of each row's features with those of the reference, all dimensions taken together."""
    a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (features, reference))
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def rate(
    encoder: Encoder, sample: Tokens, rows: np.ndarray, budget: int, seconds: float | None = None
) -> float:
    """Texts a second over batches drawn evenly from the sample's lengths, for SECONDS_EACH or about this long."""
    seconds = SECONDS_EACH if seconds is None else seconds
    batches = [
        rows[b] for b in length_sorted_batches(np.maximum(sample.lengths[rows], sample.padding.to), budget)
    ]
    order = np.random.default_rng(0).permutation(len(batches))
    started, done = time.perf_counter(), 0

    def drawn() -> Iterator[TokenBatch]:
        """As many as there is time for; a backend with several in flight has its due."""
        for given, number in enumerate(cycle(order)):
            if given and time.perf_counter() - started >= seconds:
                return
            yield sample.batch(batches[number])

    for features in encoder.encode(drawn()):
        done += len(features)
    return round(done / (time.perf_counter() - started), 1)
