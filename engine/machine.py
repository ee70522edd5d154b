"""The processor of this machine and its memory, without importing torch."""

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..store.duck import available_memory
from .encode.devices import cpu_flags, cpu_threads, may_have_gpu

_FEATURES = {
    "x86": {
        "AVX2": {"avx2"},
        "AVX-512": {"avx512f"},
        "VNNI": {"avx512_vnni", "avx_vnni"},
        "bf16": {"avx512_bf16", "amx_bf16"},
        "AMX": {"amx_tile"},
    },
    "arm": {
        "NEON": {"asimd"},
        "dot products": {"asimddp"},
        "bf16": {"bf16"},
        "int8 products": {"i8mm"},
        "SVE": {"sve"},
    },
}
"""Features of a processor that decide speed, and Linux's names of each: one of them is enough."""


@dataclass(frozen=True)
class Processor:
    """What computes where there is no GPU."""

    name: str
    machine: str
    """The architecture: x86_64, aarch64, arm64."""
    cores: int
    threads: int
    """Threads that a computation has."""
    memory_bytes: int | None
    """Of the machine; None where the system does not tell."""
    available_bytes: int
    """What can be taken without swapping, or past a container's limit."""
    features: dict[str, bool]
    """Features that decide speed; empty where the system does not tell."""


def processor() -> Processor:
    """The processor and its memory."""
    memory = None
    with suppress(AttributeError, ValueError, OSError):  # no such call, or no such name
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Processor(
        name=processor_name(),
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        threads=cpu_threads(),
        memory_bytes=memory,
        available_bytes=available_memory(),
        features=features(cpu_flags()),
    )


def features(flags: frozenset[str]) -> dict[str, bool]:
    """Which features that decide speed a processor with these flags has; empty for no flags."""
    if not flags:
        return {}
    table = _FEATURES["arm" if "asimd" in flags else "x86"]
    return {name: bool(signs & flags) for name, signs in table.items()}


def gpu_remark() -> str:
    """Whether there may be a GPU, as far as that can be told without torch."""
    return "a driver is installed; --torch tells more" if may_have_gpu() else "none: no driver is installed"


def processor_name() -> str:
    """The name that the processor gives itself, or the kind that it is of."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
