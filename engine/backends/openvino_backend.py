"""A model's network on OpenVINO: the CPU backend that keeps several batches in flight."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.devices import cpu_threads, usable_cores
from ..encode.model_files import INT8_GRAPH
from ..encode.tokens import TokenBatch
from .graph_cache import INPUTS, openvino_path
from .openvino_library import openvino

_TOKENS_PER_BATCH = 1024


class OpenVinoBackend:
    """A model converted from torch, with pooling inside the graph, on the CPU."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "fp32",
        device: str | None = None,
        tokens_per_batch: int | None = None,
    ):
        """Raises ModelError for a device other than the CPU, and for a precision that the processor lacks."""
        if device not in (None, "cpu"):
            raise ModelError(
                f"backend openvino runs on the cpu here, not on '{device}'; leave --device out, "
                "or pass --backend torch"
            )
        core = _core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # What an int8 model leaves in floating point is computed in the faster kind.
        hints = {
            "fp32": "f32",
            "bf16": "bf16" if has_bf16 else None,
            "int8": "bf16" if has_bf16 else "f32",
        }
        quantized = checkpoint.spec.precision == "int8"
        if hints.get(precision) is None or quantized != (precision == "int8"):
            raise ModelError(
                f"backend openvino has no precision {precision} on this processor; pass --precision fp32"
            )
        options = {"INFERENCE_PRECISION_HINT": hints[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        if cpu_threads() < usable_cores():  # OpenVINO itself does not look at OMP_NUM_THREADS
            options["INFERENCE_NUM_THREADS"] = cpu_threads()
        self._compiled = core.compile_model(_graph(checkpoint, core), "CPU", options)
        self._in_flight = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH
        streams = "1 stream" if self._in_flight == 1 else f"{self._in_flight} streams"
        self.title = f"openvino {precision} on cpu, {streams}"

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features of each batch, in order; as many batches are in flight as the processor has streams."""
        idle = [self._compiled.create_infer_request() for _ in range(self._in_flight + 1)]
        busy: deque[Any] = deque()
        for batch in batches:
            request = idle.pop() if idle else None
            if request is None:
                request = busy.popleft()
                yield self._finished(request)
            request.start_async({name: getattr(batch, name) for name in INPUTS})
            busy.append(request)
        while busy:
            yield self._finished(busy.popleft())

    def _finished(self, request: Any) -> np.ndarray:
        request.wait()
        # A copy: the request's own memory is used again for the next batch.
        return request.get_output_tensor(0).data.copy()


@cache
def _core() -> Any:
    """The process's one Core.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signal handlers, and frees it when it is
    unloaded, in whatever thread that happens: the next signal, Ctrl-C or a child's end, would be a
    segmentation fault.
    """
    return openvino.Core()


def _graph(checkpoint: Checkpoint, core: Any) -> Any:
    """The network as an OpenVINO graph, which is kept in the cache folder: converting takes seconds."""
    if checkpoint.spec.precision == "int8":
        return core.read_model(checkpoint.folder / INT8_GRAPH)
    path = openvino_path(checkpoint)
    if path.exists():
        return core.read_model(path)
    from .openvino_graph import write_graph

    model = write_graph(checkpoint, path)
    return core.read_model(path) if path.exists() else model
