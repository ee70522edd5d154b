"""The encoder on OpenVINO: the CPU backend that keeps several batches in flight."""

import hashlib
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers

from ...store import ModelError
from ...store.files import replaced_file
from ..encode.checkpoint import Checkpoint, quiet
from ..encode.encoder import stored
from ..encode.model_files import INT8_GRAPH, cache_folder
from ..encode.tokens import TokenBatch, Tokens

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVinoEncoder:
    """A model converted from torch, with pooling inside the graph, on the CPU."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "fp32",
        device: str | None = None,
        tokens_per_batch: int | None = None,
    ):
        """Raises ModelError where OpenVINO is not installed, or the processor lacks the precision."""
        try:
            core = _core()
        except ImportError as error:
            raise ModelError(
                "backend openvino is not installed: pip install 'enc-features[openvino]'"
            ) from error
        if device not in (None, "cpu"):
            raise ModelError(
                f"backend openvino runs on the cpu here, not on '{device}'; leave --device out, or pass --backend torch"
            )
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # What an int8 model leaves in floating point is computed in the faster kind.
        hints = {"fp32": "f32", "bf16": "bf16" if has_bf16 else None, "int8": "bf16" if has_bf16 else "f32"}
        quantized = checkpoint.spec.precision == "int8"
        if hints.get(precision) is None or quantized != (precision == "int8"):
            raise ModelError(
                f"backend openvino has no precision {precision} on this processor; pass --precision fp32"
            )
        self.spec, self.layer_count, self._tokenizer = (
            checkpoint.spec,
            checkpoint.layer_count,
            checkpoint.tokenizer,
        )
        options = {"INFERENCE_PRECISION_HINT": hints[precision], "PERFORMANCE_HINT": "THROUGHPUT"}
        self._compiled = core.compile_model(_model(checkpoint, core), "CPU", options)
        self._in_flight = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.tokens_per_batch = tokens_per_batch or 1024
        self.title = f"openvino {precision} on cpu, {self._in_flight} streams"

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """See :class:`Encoder`."""
        return self._tokenizer(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Nothing to prepare."""

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """See :class:`Encoder`."""
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
        return stored(request.get_output_tensor(0).data.copy(), self.spec)


@cache
def _core() -> Any:
    """The process's one Core.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signal handlers, and frees it when it is unloaded,
    in whatever thread that happens: the next signal, Ctrl-C or a child's end, would be a segmentation fault.
    """
    import openvino

    return openvino.Core()


def _model(checkpoint: Checkpoint, core: Any) -> Any:
    """The network as an OpenVINO model; converting takes seconds, so the result is kept in the cache folder."""
    import openvino

    spec = checkpoint.spec
    if spec.precision == "int8":
        return core.read_model(checkpoint.folder / INT8_GRAPH)
    parts = (
        spec.weights,
        spec.layers,
        spec.pooling,
        openvino.__version__,
        torch.__version__,
        transformers.__version__,
    )
    path = cache_folder() / "openvino" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.xml"
    if path.exists():
        return core.read_model(path)
    model = converted(checkpoint)
    try:
        # The graph takes its place last: who finds it finds its weights.
        with replaced_file(path) as graph, replaced_file(path.with_suffix(".bin")) as weights:
            openvino.save_model(model, graph, compress_to_fp16=False)
            graph.with_suffix(".bin").replace(weights)
    except (OSError, RuntimeError):
        return model  # no room for a cache is no reason to stop
    return core.read_model(path)


def converted(checkpoint: Checkpoint) -> Any:
    """The network as an OpenVINO model with both axes of its inputs free."""
    import openvino

    ones = torch.ones((2, 8), dtype=torch.int64)
    example = dict(
        zip(INPUTS, (ones, ones, torch.zeros_like(ones)), strict=True)
    )  # RoBERTa has one segment only
    # Torch's tracer warns of branches on shapes, which do not vary here; transformers of its own attributes.
    with warnings.catch_warnings(), quiet(), torch.inference_mode():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(checkpoint.network, example_input=example)
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        port.get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()
    return model
