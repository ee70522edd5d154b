"""What this machine and this installation have, and what ``auto`` makes of it, without importing torch."""

import importlib
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hub import HubState
    from .machine import Processor

PACKAGES = (
    "torch", "transformers", "tokenizers", "numpy", "pyarrow", "duckdb", "deltalake",
    "onnxruntime", "openvino", "onnx", "nncf", "peft", "datasets",
)  # fmt: skip
_EXTRAS = {
    "openvino": ("the fastest backend on CPUs", ("openvino",)),
    "onnx": ("ONNX graphs: export, and the backend", ("onnx",)),
    "int8": ("quantizing", ("nncf", "openvino")),
    "lora": ("fine-tuning with LoRA", ("peft",)),
}
"""Extras of enc-features: what each is for, and the packages that it needs."""


@dataclass(frozen=True)
class BackendState:
    """Whether a backend can be used here."""

    name: str
    is_usable: bool
    precisions: list[str]
    remark: str
    """What is missing, and the command that adds it; or what it runs on."""


@dataclass(frozen=True)
class Remembered:
    """A choice that was measured here, and the mean length of the texts that it is for."""

    from_tokens: int
    to_tokens: int
    backend: str
    precision: str
    texts_per_second: float


@dataclass(frozen=True)
class AutoState:
    """What ``--backend auto`` does with a model under the default setting."""

    model: str
    device: str
    small_jobs: str
    """Backend and precision of a job that is not worth measuring for, where nothing is remembered."""
    measured: list[str]
    """What is measured for a larger job, where nothing is remembered."""
    remembered: list[Remembered]
    """Choices for texts of some lengths; for others the nearest is taken."""
    worthwhile_seconds: float
    """A job that would take less is not worth measuring for."""
    problem: str = ""
    """Why this is not known; empty if it is."""


@dataclass(frozen=True)
class CacheState:
    """The folder of what enc can make again."""

    folder: str
    bytes: int
    parts: dict[str, int]
    """Bytes by what lies in the folder."""


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `enc doctor` tells."""

    versions: dict[str, str | None]
    """By package; None where it is not installed."""
    system: str
    processor: "Processor"
    gpu: str
    backends: list[BackendState]
    missing: dict[str, str]
    """Commands that add what is missing, by what it is for."""
    auto: AutoState
    cache: CacheState
    hub: "HubState"
    torch: dict[str, str] | None
    """What torch says of itself; None unless it was asked."""
    seconds: dict[str, float] = field(default_factory=dict)


def diagnose(*, ask_torch: bool = False) -> Diagnosis:
    """Look at everything, without importing torch unless ``ask_torch``.

    transformers is imported where the embedded model was never used on this machine.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, look: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = look()
        seconds[name] = round(time.perf_counter() - started, 2)
        return found

    from .hub import WaitingForHub
    from .machine import gpu_remark, processor

    hub = WaitingForHub()  # it mostly waits, and the rest is done meanwhile
    return Diagnosis(
        versions=timed("versions", versions),
        system=platform.platform(),
        processor=timed("processor", processor),
        gpu=gpu_remark(),
        backends=timed("backends", backends),
        missing=missing_extras(),
        auto=timed("auto", lambda: auto_state(ask_torch=ask_torch)),
        cache=timed("cache", cache_state),
        torch=timed("torch", torch_state) if ask_torch else None,
        hub=timed("hub", hub.result),
        seconds=seconds,
    )


def versions() -> dict[str, str | None]:
    """Releases of enc, Python, and the packages that decide what enc can do; nothing is imported."""
    from .encode.releases import installed_release

    found = {"enc-features": installed_release("enc-features"), "Python": platform.python_version()}
    return found | {package: installed_release(package) for package in PACKAGES}


def backends() -> list[BackendState]:
    """Every backend: usable or not, its precisions here, and what is missing."""
    from .backends.registry import BACKENDS
    from .encode.devices import cpu_has_bf16, may_have_gpu

    states = []
    for name, kind in BACKENDS.items():
        on_cpu = [precision for precision in kind.on_cpu if precision != "bf16" or cpu_has_bf16()]
        precisions = list(dict.fromkeys([*on_cpu, *(kind.on_cuda if may_have_gpu() else ())]))
        is_usable, remark = kind.is_installed, f"not installed: {_pip(kind.extra)}"
        if is_usable:
            is_usable, remark = _onnx_state(name) if name in ("onnx", "tensorrt") else (True, "")
        states.append(BackendState(name, is_usable, precisions, remark))
    return states


def missing_extras() -> dict[str, str]:
    """Commands that add the extras which are not installed, by what they are for."""
    return {
        purpose: _pip(extra)
        for extra, (purpose, packages) in _EXTRAS.items()
        if not all(find_spec(package) for package in packages)
    }


def auto_state(*, ask_torch: bool = False) -> AutoState:
    """What ``auto`` does with the embedded model, by memory or by rule.

    Where the driver of a GPU is installed, only torch knows on which device that is.
    """
    from ..store import ModelError
    from .backends.candidates import candidates, likely_fastest
    from .backends.choice import WORTHWHILE_SECONDS, default_backend
    from .backends.memory import ChoiceMemory
    from .encode.checkpoint import checkpoint_of
    from .encode.devices import may_have_gpu, pick_device
    from .encode.model_files import EMBEDDED_MODEL

    if may_have_gpu() and not ask_torch:
        problem = "there may be a GPU; --torch tells what is taken then"
        return AutoState(EMBEDDED_MODEL, "cuda or cpu", "", [], [], WORTHWHILE_SECONDS, problem)
    device = pick_device(None)
    options = candidates("float16", None, device)
    likely = options if device.startswith("cuda") else likely_fastest(options)
    choices, problem = {}, ""
    try:
        choices = ChoiceMemory(checkpoint_of(EMBEDDED_MODEL), None, device).all()
    except ModelError as error:
        problem = str(error)
    return AutoState(
        model=EMBEDDED_MODEL,
        device=device,
        small_jobs=f"{default_backend('fp32', device)} fp32",
        measured=[candidate.name for candidate in likely],
        remembered=[
            Remembered(
                2**power, 2 ** (power + 1) - 1, choice.backend, choice.precision, choice.texts_per_second
            )
            for power, choice in sorted(choices.items())
        ],
        worthwhile_seconds=WORTHWHILE_SECONDS,
        problem=problem,
    )


def cache_state() -> CacheState:
    """The cache folder and what it takes."""
    from .encode.model_files import cache_folder

    folder = cache_folder()
    parts = {}
    with suppress(OSError):
        parts = {path.name: _size(path) for path in sorted(folder.iterdir())}
    return CacheState(str(folder), sum(parts.values()), parts)


def torch_state() -> dict[str, str]:
    """What torch says; importing it takes a second or two."""
    import torch

    found = {"version": torch.__version__, "threads": str(torch.get_num_threads())}
    found["oneDNN"] = "yes" if torch.backends.mkldnn.is_available() else "no"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return found | {"CUDA": torch.version.cuda or "yes", "GPUs": ", ".join(names)}
    built_for = f"built for {torch.version.cuda}, no GPU found" if torch.version.cuda else "not built in"
    return found | {"CUDA": built_for}


def _onnx_state(name: str) -> tuple[bool, str]:
    """Whether ONNX Runtime has this backend's providers here, and what is to be said of it."""
    from .encode.devices import may_have_gpu

    try:
        providers = importlib.import_module("onnxruntime").get_available_providers()
    except (ImportError, OSError) as error:
        return False, f"onnxruntime cannot be imported: {str(error).strip().splitlines()[0]}"
    shown = ", ".join(provider.removesuffix("ExecutionProvider") for provider in reversed(providers))
    if name == "tensorrt":
        if "TensorrtExecutionProvider" not in providers:
            return False, f"this onnxruntime has the providers {shown}: pip install onnxruntime-gpu"
        if not may_have_gpu():
            return False, "needs an NVIDIA GPU"
    if not find_spec("onnx"):
        return False, f"cannot make graphs: {_pip('onnx')}"
    return True, f"onnxruntime with {shown}" if name == "onnx" else ""


def _pip(extra: str) -> str:
    return f"pip install 'enc-features[{extra}]'" if extra else "pip install enc-features"


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    total = 0
    for file in files:
        with suppress(OSError):  # gone meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total
