"""What this machine can do at the most: matrix products and copies of memory, by torch with all its threads.

The encoder is a chain of matrix products. How far it is from the fastest of them, and from what the memory
delivers, tells how much faster it could be.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..engine.encode.devices import cpu_has_bf16
from .results import Measurement, Results, in_turn, machine

BASELINE = "fp32 matrix product"
COPY = "memory copy"
_SIZES = (768, 1536)
_COPIED_BYTES = 256 << 20


def run(*, seconds: float, repetitions: int, say: Callable[[str], None]) -> Results:
    """Measure each ceiling for about so many seconds a repetition."""
    products: dict[str, Callable[[int], Callable[[], object]]] = {BASELINE: _fp32}
    if cpu_has_bf16():
        products["bf16 matrix product"] = _bf16
    products["int8 matrix product"] = _int8
    contenders = [
        (Measurement(name, "GFLOP/s"), lambda make=make: max(_gflops(make, n, seconds) for n in _SIZES))
        for name, make in products.items()
    ]
    copy = Measurement(COPY, "GB/s", remarks={"counts": "bytes read and written"})
    in_turn([*contenders, (copy, lambda: _copied(seconds))], repetitions, say)
    settings = {"matrices": " and ".join(f"{n} x {n}" for n in _SIZES), "repetitions": repetitions}
    return Results("roofline", BASELINE, settings, [*(m for m, _ in contenders), copy], machine())


def _fp32(n: int) -> Callable[[], object]:
    a, b = torch.randn(n, n), torch.randn(n, n)
    return lambda: a @ b


def _bf16(n: int) -> Callable[[], object]:
    a, b = torch.randn(n, n).bfloat16(), torch.randn(n, n).bfloat16()
    return lambda: a @ b


def _int8(n: int) -> Callable[[], object]:
    a, b = (torch.randint(-100, 100, (n, n), dtype=torch.int8) for _ in range(2))
    return lambda: torch._int_mm(a, b)  # type: ignore[attr-defined]


def _gflops(make: Callable[[int], Callable[[], object]], n: int, seconds: float) -> float:
    product = make(n)
    return 2e-9 * n**3 * _per_second(product, seconds / len(_SIZES))


def _copied(seconds: float) -> float:
    source, target = (torch.ones(_COPIED_BYTES // 4) for _ in range(2))
    return 2e-9 * _COPIED_BYTES * _per_second(lambda: target.copy_(source), seconds)


def _per_second(work: Callable[[], object], seconds: float) -> float:
    """How often something is done in a second, after a first time that is not counted."""
    work()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or done < 2:
        work()
        done += 1
    return done / (time.perf_counter() - started)


@dataclass(frozen=True)
class Work:
    """What a network does for a token at the least; see :func:`work_of`."""

    flops_of_weights: float
    """A token."""
    flops_of_attention: float
    """A token, and a token that it looks at."""
    weights: float
    """Numbers that a batch reads, without the embeddings."""
    activations: float
    """Numbers that a token brings into its layers and out of them."""


def work_of(config: dict[str, Any]) -> Work | None:
    """Of a BERT-like model's config.json; None where it does not tell the sizes."""
    try:
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        inner = int(config["intermediate_size"])
    except (KeyError, TypeError, ValueError):
        return None
    weights = layers * (4 * hidden**2 + 2 * hidden * inner)
    return Work(2.0 * weights, 4.0 * hidden * layers, float(weights), 2.0 * hidden * layers)


_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


def points(
    work: Work, rates: dict[str, float], lengths: list[int], tokens_per_batch: dict[str, int]
) -> list[dict[str, Any]]:
    """What contenders achieved, by name: their rates are in texts/s, and lengths are of the texts' tokens.

    Padding does not count as work. Bytes are the least that must move: the weights once a batch, and what
    goes into each layer and out of it.
    """
    tokens = sum(lengths) / len(lengths)
    squared = sum(length * length for length in lengths) / len(lengths)
    flops = work.flops_of_weights * tokens + work.flops_of_attention * squared
    found = []
    for name, rate in rates.items():
        size = next((size for kind, size in _BYTES.items() if kind in name), None)
        if size is None or not rate:
            continue
        moved = size * (work.activations * tokens + work.weights * tokens / tokens_per_batch[name])
        found.append(
            {
                "name": name,
                "gflops_per_text": flops / 1e9,
                "megabytes_per_text": moved / 1e6,
                "gflops": flops * rate / 1e9,
                "gigabytes_per_second": moved * rate / 1e9,
                "flops_per_byte": flops / moved,
            }
        )
    return found


def config_of(folder: str | Path) -> dict[str, Any]:
    """A model's config.json; empty where there is none."""
    try:
        return dict(json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
