"""Choosing the fastest way to the same features, by measuring on the user's own texts.

Candidates are timed on a sample for half a second each. One whose features are not those of
float32 (mean cosine below ``MIN_COSINE``) is out. The choice is remembered for the machine, the
model and the length of the texts.
"""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from ...store import ModelError
from ...store.files import replaced_file
from ..encode.checkpoint import Checkpoint
from ..encode.devices import pick_device
from ..encode.encoder import Encoder
from ..encode.model_files import cache_folder
from ..encode.tokens import TokenBatch, Tokens
from .measure import COMPARED_TEXTS, MAKERS, PRECISIONS, Candidate, candidates, likely_fastest, measure, rate
from .openvino_backend import OpenVinoEncoder

WORTHWHILE_SECONDS = 15.0
"""A job that float32 on torch finishes sooner is not worth measuring for."""


def choose_encoder(
    checkpoint: Checkpoint, *, backend: str, precision: str | None, device: str | None
) -> Encoder:
    """The encoder asked for; with ``auto``, one that is chosen when the texts are known.

    Raises ModelError for names that there are not, and for what this machine does not have.
    """
    backends, precisions = ("auto", *MAKERS), (*PRECISIONS["torch"], "int8")
    if backend not in backends:
        raise ModelError(f"unknown backend '{backend}'; there are {', '.join(backends)}")
    if precision is not None and precision not in precisions:
        raise ModelError(f"unknown precision '{precision}'; there are {', '.join(precisions)}")
    if checkpoint.spec.precision == "int8":
        if backend not in ("auto", "openvino") or precision not in (None, "int8"):
            raise ModelError(
                f"model '{checkpoint.model}' is quantized: it takes --backend openvino and --precision int8"
            )
        return OpenVinoEncoder(checkpoint, precision="int8", device=device)
    if precision == "int8":
        raise ModelError(
            f"model '{checkpoint.model}' is not quantized; `enc calibrate {checkpoint.model} SOURCE --precision int8 "
            "--label-column NAME --output DIR` makes and judges one, to be used as --model DIR"
        )
    if backend != "auto":
        return MAKERS[backend](checkpoint, precision=precision or "fp32", device=device)
    return AutoEncoder(checkpoint, precision, str(pick_device(device)))


class AutoEncoder:
    """An encoder that measures the candidates on the first texts it is given, or remembers the result."""

    def __init__(self, checkpoint: Checkpoint, precision: str | None, device: str):
        self.spec = checkpoint.spec
        self.layer_count = checkpoint.layer_count
        self.measured: list[Candidate] = []
        """What :meth:`prepare` measured; empty if it did not have to."""
        self.checkpoint, self._precision, self._device = checkpoint, precision, device
        self._encoder: Encoder | None = None
        self._remembered: tuple[_Memory, Candidate] | None = None

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
        return self.checkpoint.tokenizer(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Choose by measurement, by memory, or, for a few texts, by default."""
        if self._encoder is not None:
            return
        memory = _Memory(self.checkpoint, self._precision, self._device, sample)
        known = memory.read()
        options = candidates(self.checkpoint, self._precision, self._device)
        if known is not None:
            self._use(known, memory)
        elif len(options) > 1 and self._default_seconds(sample, texts) >= WORTHWHILE_SECONDS:
            likely = options if self._device.startswith("cuda") else likely_fastest(options)
            self.measure(sample, likely)
            others = [c for c in options if c not in likely]
            if others and all(c.problem for c in self.measured[1:]):
                self.measure(sample, [options[0], *others])
        else:
            self._use(self._default())

    def measure(self, sample: Tokens, options: Sequence[Candidate] | None = None) -> list[Candidate]:
        """Measure these candidates, or all, now, use the fastest, and remember it."""
        options = candidates(self.checkpoint, self._precision, self._device) if options is None else options
        self.measured = measure(self.checkpoint, self._device, sample, options)
        best = max(
            (c for c in self.measured if not c.problem), key=lambda c: c.texts_per_second, default=None
        )
        if best is None:
            self._use(self._default())
        else:
            memory = _Memory(self.checkpoint, self._precision, self._device, sample)
            memory.write(best)
            self._use(best, memory)
        return self.measured

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """See :class:`Encoder`. A batch size that had to be lowered for want of memory is remembered."""
        before = self.tokens_per_batch
        yield from self._chosen.encode(batches)
        if self.tokens_per_batch < before and self._remembered is not None:
            memory, candidate = self._remembered
            memory.write(replace(candidate, tokens_per_batch=self.tokens_per_batch))

    def explain(self) -> str:
        """One line: what was chosen, and by how much."""
        baseline = next((c for c in self.measured if c.texts_per_second), None)
        best = max(
            (c for c in self.measured if not c.problem), key=lambda c: c.texts_per_second, default=None
        )
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
        rows = np.random.default_rng(0).permutation(len(sample.lengths))[:COMPARED_TEXTS]
        sequences = texts * len(sample.lengths) / len(sample)
        return sequences / rate(encoder, sample, rows, encoder.tokens_per_batch, seconds=0.0)

    def _use(self, candidate: Candidate, memory: "_Memory | None" = None) -> None:
        self._encoder = self._make(candidate)
        self._remembered = (memory, candidate) if memory else None

    def _make(self, candidate: Candidate) -> Encoder:
        budget = candidate.tokens_per_batch or None
        return MAKERS[candidate.backend](
            self.checkpoint, precision=candidate.precision, device=self._device, tokens_per_batch=budget
        )


class _Memory:
    """Choices made on this machine: a JSON file in the user's cache folder."""

    def __init__(self, checkpoint: Checkpoint, precision: str | None, device: str, sample: Tokens):
        spec = checkpoint.spec
        self._path = cache_folder() / "calibration.json"
        lengths = 1 << int(
            np.log2(max(1.0, float(np.mean(sample.lengths))))
        )  # texts of 16 to 31 tokens are alike, and so on
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
            with replaced_file(self._path) as part:
                text = json.dumps(choices | {self._key: asdict(candidate)}, indent=2)
                part.write_text(text, encoding="utf-8")
        except OSError:
            return


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
