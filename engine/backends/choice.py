"""Choosing the fastest way to the same features, by measuring on the user's own texts.

One whose features are not those of float32 (mean cosine below ``measure.MIN_COSINE``) is out. The
choice is remembered for the machine, the model and the length of the texts, unless the machine was
busy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.devices import pick_device
from ..encode.encoder import Backend, Choice, Fixed
from ..encode.tokens import Tokens
from .advice import advise_once
from .candidates import Candidate, candidates, likely_fastest
from .memory import ChoiceMemory
from .registry import BACKENDS, make_backend, require_backend

if TYPE_CHECKING:
    from .measure import Measured

WORTHWHILE_SECONDS = 15.0
"""A job that the default finishes sooner is not worth measuring for."""
COMPARING_SECONDS = 3.0
"""A job that the default finishes sooner is not worth loading a second backend for."""
_ESTIMATE_TEXTS = 24


def choose(
    checkpoint: Checkpoint,
    *,
    backend: str,
    precision: str | None,
    device: str | None,
    say: Callable[[str], None] | None = None,
) -> Choice:
    """The backend asked for; with ``auto``, one that is chosen when the texts are known.

    A backend on another device than the CPU is loaded at once; else it is when it is needed. ``say`` is
    told of a faster backend that is not installed. Raises ModelError for names that there are not, and
    for what this machine does not have.
    """
    require_backend(backend, precision, device)
    if checkpoint.spec.precision == "int8":
        if backend not in ("auto", "openvino") or precision not in (None, "int8"):
            raise ModelError(
                f"model '{checkpoint.model}' is quantized: it takes --backend openvino and --precision int8"
            )
        require_backend("openvino", "int8", device)
        return Fixed(lambda: make_backend("openvino", checkpoint, "int8", device))
    if precision == "int8":
        raise ModelError(
            f"model '{checkpoint.model}' is not quantized; `enc calibrate {checkpoint.model} SOURCE "
            "--precision int8 --label-column NAME --output DIR` makes and judges one, "
            "to be used as --model DIR"
        )
    if backend == "auto":
        return AutoChoice(checkpoint, precision, pick_device(device), say)
    if device not in (None, "cpu"):
        made = make_backend(backend, checkpoint, precision or "fp32", device)
        return Fixed(lambda: made)
    return Fixed(lambda: make_backend(backend, checkpoint, precision or "fp32", device))


def measure_all(
    checkpoint: Checkpoint, sample: Tokens, *, precision: str | None = None, device: str | None = None
) -> "Measured":
    """Measure every way to encode here. The fastest is remembered unless the machine is busy."""
    from .measure import measure

    place = pick_device(device)
    found = measure(checkpoint, place, sample, candidates(checkpoint.spec.dtype, precision, place))
    if found.best is not None and found.is_steady:
        ChoiceMemory(checkpoint, precision, place).write(sample, found.best)
    return found


def default_backend(precision: str, device: str) -> str:
    """What ``auto`` takes for a job that is not worth measuring for."""
    is_fast_here = device == "cpu" and precision == "fp32" and BACKENDS["openvino"].is_installed
    return "openvino" if is_fast_here else "torch"


class AutoChoice:
    """Measures the candidates on the first texts, or remembers what was measured before."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: str | None,
        device: str,
        say: Callable[[str], None] | None = None,
    ):
        self._checkpoint, self._precision, self._device, self._say = checkpoint, precision, device, say
        self._memory = ChoiceMemory(checkpoint, precision, device)
        self.measured: list[Candidate] = []
        """What :meth:`backend` measured; empty if it did not have to."""
        self._explained = ""
        self._remembered: tuple[Tokens, Candidate] | None = None
        self._made_as: list[tuple[Backend, Candidate]] = []
        self.taken: Mapping[str, Any] = {}
        """See :class:`Choice`."""

    def take(self, taken: Mapping[str, Any]) -> None:
        """See :class:`Choice`."""
        self.taken = taken

    def backend(self, sample: Tokens | None, texts: int) -> Backend:
        """By memory, by measurement, or, for a few texts, by default; see :class:`Choice`."""
        if self.taken:
            return self._made(Candidate(**self.taken))
        chosen = self._chosen(sample, texts)
        way = next(way for made, way in self._made_as if made is chosen)
        self.taken = {"backend": way.backend, "precision": way.precision}
        self._made_as.clear()
        return chosen

    def _chosen(self, sample: Tokens | None, texts: int) -> Backend:
        if self._say is not None:
            advise_once(self._device, self._say)
        known = self._memory.read(sample)
        backend = self._default() if known is None else self._made(known)
        if sample is None:
            return backend
        is_known = known is not None and self._memory.is_known(sample)
        seconds = -1.0 if is_known else self._seconds(backend, sample, texts)
        if seconds >= WORTHWHILE_SECONDS:
            return self._measured(sample)
        if known is not None:
            self._remembered = sample, known
        elif seconds >= COMPARING_SECONDS:
            return self._faster(backend, sample)
        return backend

    def ran(self, backend: Backend) -> None:
        """Remember a batch size that had to be lowered for want of memory."""
        if self._remembered is None:
            return
        sample, candidate = self._remembered
        if backend.tokens_per_batch < (candidate.tokens_per_batch or backend.tokens_per_batch):
            candidate = replace(candidate, tokens_per_batch=backend.tokens_per_batch)
            self._remembered = sample, candidate
            self._memory.write(sample, candidate)

    def explain(self) -> str:
        """What was measured to decide, in one line; empty if nothing was."""
        return self._explained

    def _seconds(self, backend: Backend, sample: Tokens, texts: int) -> float:
        """About how long this backend would take for so many texts; -1 where there is no other one."""
        options = candidates(self._checkpoint.spec.dtype, self._precision, self._device)
        if len(options) < 2:
            return -1.0
        from .measure import rate

        sequences = texts * len(sample.lengths) / len(sample)
        return sequences / rate(backend, sample, backend.tokens_per_batch, rows=_few(sample), seconds=0.0)

    def _faster(self, backend: Backend, sample: Tokens) -> Backend:
        """The default backend in bf16, where that is faster here and gives the features of float32.

        It is compared on a few texts with the default in float32, which takes one to three seconds;
        nothing is remembered of it.
        """
        options = candidates(self._checkpoint.spec.dtype, self._precision, self._device)
        if self._device != "cpu" or Candidate("openvino", "bf16") not in options:
            return backend
        from .measure import MIN_COSINE, cosines, rate

        try:
            other = self._made(Candidate("openvino", "bf16"))
        except ModelError:
            return backend
        rows = _few(sample)
        features, reference = (next(iter(b.run([sample.batch(rows)]))) for b in (other, backend))
        if float(np.mean(cosines(features, reference))) < MIN_COSINE:
            return backend
        speed, before = (
            rate(b, sample, b.tokens_per_batch, rows=rows, seconds=0.0) for b in (other, backend)
        )
        return other if speed > before else backend

    def _measured(self, sample: Tokens) -> Backend:
        from .measure import measure

        options = candidates(self._checkpoint.spec.dtype, self._precision, self._device)
        likely = options if self._device.startswith("cuda") else likely_fastest(options)
        found = measure(self._checkpoint, self._device, sample, likely)
        others = [candidate for candidate in options if candidate not in likely]
        if others and all(candidate.problem for candidate in found.candidates[1:]):
            found = measure(self._checkpoint, self._device, sample, [options[0], *others])
        self.measured = found.candidates
        if found.best is None:
            return self._default()
        if found.is_steady:
            self._memory.write(sample, found.best)
            self._remembered = sample, found.best
        backend = self._made(found.best)
        self._explained = explained(backend.title, found.candidates, found.best)
        if not found.is_steady:
            self._explained += "; the machine is busy, so that the choice is not remembered"
        return backend

    def _default(self) -> Backend:
        """Float32 by OpenVINO where it is installed: its graph, once it is there, starts sooner than torch
        does.
        """
        precision = self._precision or "fp32"
        if default_backend(precision, self._device) == "openvino":
            try:
                return self._made(Candidate("openvino", precision))
            except ModelError:  # what OpenVINO cannot convert, torch can run
                pass
        return self._made(Candidate("torch", precision))

    def _made(self, candidate: Candidate) -> Backend:
        budget = candidate.tokens_per_batch or None
        name, precision = candidate.backend, candidate.precision
        made = make_backend(name, self._checkpoint, precision, self._device, budget)
        self._made_as.append((made, candidate))
        return made


def _few(sample: Tokens) -> np.ndarray:
    """A few sequences of a sample, int64."""
    return np.random.default_rng(0).permutation(len(sample.lengths))[:_ESTIMATE_TEXTS]


def explained(title: str, measured: Sequence[Candidate], best: Candidate) -> str:
    """One line: what was chosen, and by how much it is faster than the first candidate."""
    baseline = next(candidate for candidate in measured if candidate.texts_per_second)
    return (
        f"{title}: {best.texts_per_second:,.0f} texts/s on a sample, "
        f"{best.texts_per_second / baseline.texts_per_second:.1f}x {baseline.name} (cosine {best.cosine:.5f})"
    )
