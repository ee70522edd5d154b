"""Where to compute, and in which precisions. torch is imported only where its answer is needed."""

import os
import platform
from ctypes.util import find_library
from functools import cache
from pathlib import Path

from ...store import ModelError

_GPU_SIGNS = (
    "/dev/nvidiactl",
    "/dev/dxg",
    "/dev/kfd",
)  # NVIDIA's driver, Windows' subsystem for Linux, AMD's driver


def pick_device(device: str | None) -> str:
    """The device asked for, or the best there is: ``cpu``, ``cuda``, ``cuda:1``.

    Raises ModelError for a device that is not there.
    """
    if device is None:
        return "cuda" if cuda_is_available() else "cpu"
    if device == "cpu":
        return device
    import torch

    cuda = torch.cuda.is_available()
    there = "cpu, cuda" if cuda else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ModelError(f"unknown device '{device}'; there is {there}") from error
    if kind == "cuda" and not cuda:
        raise ModelError(f"device '{device}' is not here; this machine and this build of torch have: cpu")
    return device


def cuda_is_available() -> bool:
    """Whether torch sees a GPU. Where no driver of one is installed, the answer needs no torch."""
    if not may_have_gpu():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def may_have_gpu() -> bool:
    """Whether the driver of a GPU is installed."""
    if platform.system() == "Darwin":
        return False
    if platform.system() == "Linux":
        return any(Path(sign).exists() for sign in _GPU_SIGNS)
    return find_library("nvcuda") is not None


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies matrices in bf16.

    Libraries also take bf16 where the processor has AVX-512 alone; that saves memory, not time.
    """
    flags = cpu_flags()
    if flags:
        return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    import torch

    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not is_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@cache
def cpu_flags() -> frozenset[str]:
    """Features of the processor by Linux's names; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cpu_threads() -> int:
    """Threads that a computation on the processor has: OMP_NUM_THREADS, or the cores that this process may
    use.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return usable_cores()


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
