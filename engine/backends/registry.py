"""The backends as a table: what each needs, and which precisions it has where.

Nothing of them is imported here.
"""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec

from ...store import ModelError
from ...store.nearest import unknown
from ..encode.checkpoint import Checkpoint
from ..encode.devices import cpu_has_bf16, pick_device
from ..encode.encoder import Backend

PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class BackendKind:
    """A library that runs networks."""

    module: str
    """The module of this package with the class."""
    name: str
    """The class."""
    packages: tuple[str, ...]
    """What must be installed."""
    extra: str
    """The extra of enc-features that installs it."""
    on_cpu: tuple[str, ...]
    """Precisions on a CPU."""
    on_cuda: tuple[str, ...]
    """Precisions on a GPU."""

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there."""
        return all(find_spec(package) for package in self.packages)


BACKENDS = {
    "torch": BackendKind(
        "torch_backend", "TorchBackend", ("torch",), "", ("fp32", "bf16"), ("fp32", "bf16", "fp16")
    ),
    "openvino": BackendKind(
        "openvino_backend", "OpenVinoBackend", ("openvino",), "openvino", ("fp32", "bf16", "int8"), ()
    ),
    "onnx": BackendKind(
        "onnx_backend", "OnnxBackend", ("onnxruntime",), "onnx", ("fp32", "fp16"), ("fp32", "fp16")
    ),
    "tensorrt": BackendKind(
        "onnx_backend", "TensorRtBackend", ("onnxruntime",), "onnx", (), ("fp32", "fp16")
    ),
}


def require_backend(name: str, precision: str | None, device: str | None) -> None:
    """Check a choice without loading anything dear.

    Raises ModelError for names that there are not, for a package that is missing, and for a precision
    that the backend, the device or the processor does not have.
    """
    if name not in ("auto", *BACKENDS):
        raise ModelError(unknown("backend", name, ("auto", *BACKENDS)))
    if precision is not None and precision not in PRECISIONS:
        raise ModelError(unknown("precision", precision, PRECISIONS))
    if name == "auto":
        return
    kind = BACKENDS[name]
    if not kind.is_installed:
        raise ModelError(f"backend {name} is not installed: pip install 'enc-features[{kind.extra}]'")
    if name == "openvino" and device not in (None, "cpu"):
        raise ModelError(
            f"backend openvino runs on the cpu here, not on '{device}'; leave --device out, or pass "
            "--backend torch"
        )
    if name == "tensorrt" and device is not None and not device.startswith("cuda"):
        raise ModelError(
            f"backend tensorrt runs on cuda, not on '{device}'; leave --device out, or pass --backend onnx"
        )
    if precision is None:
        return
    lacks_bf16 = precision == "bf16" and not cpu_has_bf16()
    if name == "openvino" and (precision not in kind.on_cpu or lacks_bf16):
        raise ModelError(
            f"backend openvino has no precision {precision} on this processor; pass --precision fp32"
        )
    if precision not in {*kind.on_cpu, *kind.on_cuda}:
        has = " and ".join(dict.fromkeys((*kind.on_cpu, *kind.on_cuda)))
        raise ModelError(f"backend {name} has the precisions {has}, not {precision}")
    if name == "torch" and precision == "fp16" and pick_device(device) == "cpu":
        raise ModelError("precision fp16 needs a GPU; on the CPU there are fp32 and bf16")


def make_backend(
    name: str, checkpoint: Checkpoint, precision: str, device: str | None, tokens_per_batch: int | None = None
) -> Backend:
    """A backend with the checkpoint's network in it. Raises ModelError where it cannot be had."""
    kind = BACKENDS[name]
    try:
        module = importlib.import_module(f".{kind.module}", __package__)
    except ImportError as error:
        raise ModelError(f"backend {name} cannot be used here: {error}") from error
    make = getattr(module, kind.name)
    return make(checkpoint, precision=precision, device=device, tokens_per_batch=tokens_per_batch)
