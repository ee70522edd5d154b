"""Which ways to encode are worth measuring on a machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from ..encode.devices import cpu_has_bf16

_ON_CPU = {"torch": ("fp32", "bf16"), "openvino": ("fp32", "bf16"), "onnx": ("fp32",)}
_ON_CUDA = {"torch": ("fp32", "bf16", "fp16"), "onnx": ("fp16",), "tensorrt": ("fp16",)}


@dataclass(frozen=True)
class Candidate:
    """A way to compute features, and what was measured of it."""

    backend: str
    precision: str
    tokens_per_batch: int = 0
    texts_per_second: float = 0.0
    """Median of the rounds."""
    cosine: float = 0.0
    """Mean cosine to float32 on the sample."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""

    @property
    def name(self) -> str:
        """Backend and precision."""
        return f"{self.backend} {self.precision}"


def candidates(dtype: str, precision: str | None, device: str) -> list[Candidate]:
    """What is worth measuring here, float32 on torch first.

    Features stored in float32 (``dtype``) are wanted at that precision, so lower ones are left out unless
    asked for.
    """
    if device.startswith("cuda"):
        has, precisions, backends = _ON_CUDA, ["fp32", "bf16", "fp16"], ["torch", *_onnx_on_cuda()]
    else:
        has = _ON_CPU
        precisions = ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]
        backends = ["torch", *(name for name in ("openvino", "onnx") if find_spec(name))]
    if precision is not None:
        precisions = [precision]
    elif dtype == "float32":
        precisions = ["fp32"]
    return [Candidate(b, p) for p in precisions for b in backends if p in has[b]]


def likely_fastest(options: Sequence[Candidate]) -> list[Candidate]:
    """Of the candidates on a CPU, float32 on torch, and those that were fastest wherever all were measured.

    That is the lowest precision of torch and of OpenVINO; ONNX Runtime only where OpenVINO is not installed.
    """
    lowest = options[-1].precision
    backends = ("torch", "openvino" if any(c.backend == "openvino" for c in options) else "onnx")
    return [c for c in options if c == options[0] or (c.precision == lowest and c.backend in backends)]


def _onnx_on_cuda() -> list[str]:
    if not find_spec("onnx"):
        return []
    import onnxruntime

    from .onnx_backend import PROVIDERS

    there = onnxruntime.get_available_providers()
    names = {"onnx": PROVIDERS["cuda"], "tensorrt": PROVIDERS["tensorrt"]}
    return [name for name, provider in names.items() if provider in there]
