"""Choosing the fastest way to the same features, by measuring on the user's own texts.

Candidates are timed on a sample for about a second each. One whose features are not those of
float32 (mean cosine below ``MIN_COSINE``) is out. The choice is remembered for the machine, the
model and the length of the texts.
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
import onnxruntime
import torch

from ..store import ModelError, Source, SourceError
from ..store.duck import workspace
from ..store.stage import stage_source
from .checkpoint import Checkpoint
from .encoder import Encoder
from .models import cache_folder
from .onnx_encoder import PROVIDERS, OnnxEncoder, TensorRtEncoder
from .openvino_encoder import OpenVinoEncoder
from .tokens import TokenBatch, Tokens, length_sorted_batches
from .torch_encoder import TorchEncoder, cpu_has_bf16, pick_device

MIN_COSINE = 0.9999
"""Mean cosine to float32 below which a backend is not of the precision class ``full``."""
WORTHWHILE_SECONDS = 30.0
"""A job that float32 on torch finishes sooner is not worth measuring for."""
SECONDS_EACH = 0.8
_SAMPLE_TEXTS = 512
_COMPARED_TEXTS = 24
_MAKERS = {"torch": TorchEncoder, "openvino": OpenVinoEncoder, "onnx": OnnxEncoder, "tensorrt": TensorRtEncoder}
_PRECISIONS = {"torch": ("fp32", "bf16", "fp16"), "openvino": ("fp32", "bf16"), "onnx": ("fp32",)}
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


def choose_encoder(checkpoint: Checkpoint, *, backend: str, precision: str | None, device: str | None) -> Encoder:
    """The encoder asked for; with ``auto``, one that is chosen when the texts are known.

    Raises ModelError for names that there are not, and for what this machine does not have.
    """
    backends, precisions = ("auto", *_MAKERS), _PRECISIONS["torch"]
    if backend not in backends:
        raise ModelError(f"unknown backend '{backend}'; there are {', '.join(backends)}")
    if precision is not None and precision not in precisions:
        raise ModelError(f"unknown precision '{precision}'; there are {', '.join(precisions)}")
    if backend != "auto":
        return _MAKERS[backend](checkpoint, precision=precision or "fp32", device=device)
    return AutoEncoder(checkpoint, precision, str(pick_device(device)))


def candidates(checkpoint: Checkpoint, precision: str | None, device: str) -> list[Candidate]:
    """What is worth measuring here, float32 on torch first.

    Features stored in float32 are wanted at that precision, so lower ones are left out unless asked for.
    """
    if device.startswith("cuda"):
        precisions, has = ["fp32", "bf16", "fp16"], _PRECISIONS_ON_CUDA
        there = onnxruntime.get_available_providers() if find_spec("onnx") else []
        backends = ["torch", *(name for name, provider in _PROVIDERS_ON_CUDA.items() if provider in there)]
    else:
        has = _PRECISIONS
        precisions = ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]
        backends = ["torch", *(name for name in ("openvino", "onnx") if find_spec(name))]
    if precision is not None:
        precisions = [precision]
    elif checkpoint.spec.dtype == "float32":
        precisions = ["fp32"]
    return [Candidate(b, p) for p in precisions for b in backends if p in has[b]]


def measure(checkpoint: Checkpoint, device: str, sample: Tokens, chosen: Sequence[Candidate]) -> list[Candidate]:
    """Rate of each candidate on the sample, and its cosine to float32 on torch."""
    rows = np.sort(np.random.default_rng(0).permutation(len(sample))[:_SAMPLE_TEXTS])
    compared = sample.batch(rows[:_COMPARED_TEXTS])
    reference = _unit(next(TorchEncoder(checkpoint, device=device).encode([compared])))
    results: list[Candidate] = []
    fastest: tuple[int, Encoder] | None = None
    for candidate in chosen:
        try:
            encoder = _MAKERS[candidate.backend](checkpoint, precision=candidate.precision, device=device)
            features = next(iter(encoder.encode([compared])))  # also the warm-up
        except ModelError as error:
            results.append(replace(candidate, problem=str(error)))
            continue
        cosine = float(np.mean((_unit(features) * reference).sum(-1)))
        problem = "" if cosine >= MIN_COSINE else f"features differ from float32 (cosine {cosine:.5f})"
        budget = encoder.tokens_per_batch
        rate = _rate(encoder, sample, rows, budget)
        results.append(replace(candidate, tokens_per_batch=budget, texts_per_second=rate, cosine=round(cosine, 6), problem=problem))
        if not problem and (fastest is None or rate > results[fastest[0]].texts_per_second):
            fastest = len(results) - 1, encoder
    if fastest is not None:  # other batch sizes are tried for the winner only
        index, encoder = fastest
        for budget in (encoder.tokens_per_batch // 2, encoder.tokens_per_batch * 2):
            rate = _rate(encoder, sample, rows, budget)
            if rate > results[index].texts_per_second:
                results[index] = replace(results[index], tokens_per_batch=budget, texts_per_second=rate)
    return results


def measure_source(encoder: Encoder, source: Source) -> list[Candidate]:
    """All candidates on a random sample of a source's texts, for an encoder that was loaded with ``auto``."""
    assert isinstance(encoder, AutoEncoder)
    with workspace() as con:
        stage = stage_source(con, source)
        rows = con.sql(
            f"SELECT text, pair FROM {stage.name} WHERE key IS NOT NULL USING SAMPLE {_SAMPLE_TEXTS} ROWS (reservoir, 0)"
        ).fetchall()
    if not rows:
        raise SourceError(f"{source.title} has no text to measure on")
    sample = encoder.tokenize([text for text, _ in rows], [pair for _, pair in rows] if stage.pair_column else None)
    return encoder.measure(sample)


class AutoEncoder:
    """An encoder that measures the candidates on the first texts it is given, or remembers the result."""

    def __init__(self, checkpoint: Checkpoint, precision: str | None, device: str):
        self.spec = checkpoint.spec
        self.layer_count = checkpoint.layer_count
        self.measured: list[Candidate] = []
        """What :meth:`prepare` measured; empty if it did not have to."""
        self._checkpoint, self._precision, self._device = checkpoint, precision, device
        self._encoder: Encoder | None = None

    @property
    def title(self) -> str:
        """See :class:`Encoder`."""
        return self._chosen.title

    @property
    def tokens_per_batch(self) -> int:
        """See :class:`Encoder`."""
        return self._chosen.tokens_per_batch

    @property
    def _chosen(self) -> Encoder:
        if self._encoder is None:
            self._use(self._default())
        assert self._encoder is not None
        return self._encoder

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """See :class:`Encoder`."""
        return self._checkpoint.tokenizer(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Choose by measurement, by memory, or, for a few texts, by default."""
        if self._encoder is not None:
            return
        known = _Memory(self._checkpoint, self._precision, self._device, sample)
        remembered = known.read()
        options = candidates(self._checkpoint, self._precision, self._device)
        if remembered is None and len(options) > 1 and self._default_seconds(sample, texts) >= WORTHWHILE_SECONDS:
            self.measure(sample)
            usable = [c for c in self.measured if not c.problem]
            if usable:
                remembered = max(usable, key=lambda c: c.texts_per_second)
                known.write(remembered)
        self._use(remembered or self._default())

    def measure(self, sample: Tokens) -> list[Candidate]:
        """Measure all candidates now."""
        options = candidates(self._checkpoint, self._precision, self._device)
        self.measured = measure(self._checkpoint, self._device, sample, options)
        return self.measured

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """See :class:`Encoder`."""
        return self._chosen.encode(batches)

    def explain(self) -> str:
        """One line: what was chosen, and by how much."""
        baseline = next((c for c in self.measured if c.texts_per_second), None)
        best = max((c for c in self.measured if not c.problem), key=lambda c: c.texts_per_second, default=None)
        if baseline is None or best is None:
            return self.title
        return (
            f"{self.title}: {best.texts_per_second:,.0f} texts/s on a sample, "
            f"{best.texts_per_second / baseline.texts_per_second:.1f}x {baseline.name} (cosine {best.cosine:.5f})"
        )

    def _default(self) -> Candidate:
        return Candidate("torch", self._precision or "fp32")

    def _default_seconds(self, sample: Tokens, texts: int) -> float:
        """About how long the default would take, by a few texts of the sample."""
        encoder = self._make(self._default())
        rows = np.random.default_rng(0).permutation(len(sample))[:_COMPARED_TEXTS]
        return texts / _rate(encoder, sample, rows, encoder.tokens_per_batch, seconds=0.0)

    def _use(self, candidate: Candidate) -> None:
        self._encoder = self._make(candidate)

    def _make(self, candidate: Candidate) -> Encoder:
        budget = candidate.tokens_per_batch or None
        return _MAKERS[candidate.backend](
            self._checkpoint, precision=candidate.precision, device=self._device, tokens_per_batch=budget
        )


class _Memory:
    """Choices made on this machine: a JSON file in the user's cache folder."""

    def __init__(self, checkpoint: Checkpoint, precision: str | None, device: str, sample: Tokens):
        spec = checkpoint.spec
        self._path = cache_folder() / "calibration.json"
        lengths = 1 << int(np.log2(max(1.0, float(np.mean(sample.lengths)))))  # texts of 16 to 31 tokens are alike, and so on
        self._key = "; ".join(
            [
                f"{platform.node()} {platform.machine()} {os.cpu_count()} cpus {torch.get_num_threads()} threads on {device}",
                *(f"{name} {_version(name)}" for name in ("torch", "transformers", "openvino", "onnx")),
                f"model {spec.weights[:16]} layer {max(spec.layers)} pooling {','.join(spec.pooling)} dtype {spec.dtype}",
                f"precision {precision or 'any'}; from {lengths} tokens",
            ]
        )

    def read(self) -> Candidate | None:
        """The remembered choice; None if there is none, or the file is of another release."""
        try:
            return Candidate(**json.loads(self._path.read_text(encoding="utf-8"))[self._key])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, candidate: Candidate) -> None:
        """Remember a choice; where the folder cannot be written, the next run measures again."""
        try:
            choices = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            choices = {}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            part.write_text(json.dumps(choices | {self._key: asdict(candidate)}, indent=2), encoding="utf-8")
            part.replace(self._path)
        except OSError:
            return


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _unit(features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1).astype(np.float64)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def _rate(encoder: Encoder, sample: Tokens, rows: np.ndarray, budget: int, seconds: float | None = None) -> float:
    """Texts a second over batches drawn evenly from the sample's lengths, for SECONDS_EACH or about this long."""
    seconds = SECONDS_EACH if seconds is None else seconds
    batches = [rows[b] for b in length_sorted_batches(sample.lengths[rows], budget)]
    order = np.random.default_rng(0).permutation(len(batches))
    started, done = time.perf_counter(), 0
    while not done or time.perf_counter() - started < seconds:
        # A few at a time, so that a backend with several in flight has its due.
        chosen = [batches[i] for i in order[:4]]
        order = np.roll(order, -4)
        for features in encoder.encode(sample.batch(b) for b in chosen):
            done += len(features)
    return round(done / (time.perf_counter() - started), 1)
