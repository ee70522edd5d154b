"""A model's network on ONNX Runtime: on the CPU, on CUDA, or with TensorRT.

What needs a GPU is untested on one.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.devices import cuda_is_available
from ..encode.encoder import smaller_budget
from ..encode.model_files import cache_folder
from ..encode.tokens import TokenBatch
from .graph_cache import onnx_path

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}
_PROFILE_TOKENS = 131072  # at full length; TensorRT sets memory aside for the largest batch that it may get
_OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "bad allocation")
"""What onnxruntime's errors say, in lower case, where its arena, CUDA or the C++ library has no more."""


class OnnxBackend:
    """An exported model in fp32 or fp16, with pooling inside the graph; fp16 pays on a GPU only."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "fp32",
        device: str | None = None,
        tokens_per_batch: int | None = None,
    ):
        """Raises ModelError for a precision or provider that is not there; one that falls back is not
        accepted.
        """
        if precision not in ("fp32", "fp16"):
            raise ModelError(f"backend onnx has the precisions fp32 and fp16, not {precision}")
        kind, index = _device(device)
        provider = PROVIDERS.get(kind, kind)
        require_provider(provider)
        # On the CPU, ONNX Runtime fuses what matters when it loads a graph; one fused before was slower by a
        # seventh.
        graph = _graph(checkpoint, precision, "cuda" if kind == "cuda" else "any")
        # Without TF32, whose products have 10 bits: fp32 is to be what it is in torch.
        options = {"device_id": str(index), "use_tf32": "0"} if kind == "cuda" else {}
        self._start(_Session(graph, provider, options, kind, index), tokens_per_batch)
        self.title = f"onnx {precision} on {device or kind}"

    def _start(self, session: "_Session", tokens_per_batch: int | None) -> None:
        self._session = session
        self._most_rows: int | None = None
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH.get(session.kind, 1024)

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features of each batch.

        A batch that does not fit the device's memory is halved, and the budget with it.
        """
        for batch in batches:
            yield self._features(batch)

    def _features(self, batch: TokenBatch) -> np.ndarray:
        if self._most_rows is not None and len(batch.input_ids) > self._most_rows:
            return np.concatenate([self._features(half) for half in batch.halves()])
        try:
            return self._session.run(batch)
        except Exception as error:  # onnxruntime's errors have no base class of their own
            if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                raise
            self.tokens_per_batch = smaller_budget(batch, self._session.kind, error)
        return np.concatenate([self._features(half) for half in batch.halves()])


class TensorRtBackend(OnnxBackend):
    """The plain graph in an engine that TensorRT builds for this GPU, in fp16 or fp32.

    Building takes minutes; engines are kept in the cache folder.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "fp16",
        device: str | None = None,
        tokens_per_batch: int | None = None,
    ):
        """Raises ModelError where there is no GPU, or TensorRT's libraries are missing."""
        if precision not in ("fp32", "fp16"):
            raise ModelError(f"backend tensorrt has the precisions fp32 and fp16, not {precision}")
        kind, index = _device(device or "cuda")
        if kind != "cuda":
            raise ModelError(
                f"backend tensorrt runs on cuda, not on '{device}'; leave --device out, or pass "
                "--backend onnx"
            )
        require_provider(PROVIDERS["tensorrt"])
        # TensorRT fuses by itself, and reads no operators of ONNX Runtime.
        graph = _graph(checkpoint, "fp32", "any")
        longest, budget = checkpoint.spec.max_length, tokens_per_batch or 16384
        rows = max(1, max(_PROFILE_TOKENS, budget) // longest)
        folder = cache_folder() / "tensorrt"
        folder.mkdir(parents=True, exist_ok=True)
        options = {
            "device_id": str(index),
            "trt_fp16_enable": str(precision == "fp16"),
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
            **_profiles(_input_names(graph), rows, longest, budget),
        }
        session = _Session(graph, PROVIDERS["tensorrt"], options, kind, index)
        self._start(session, budget)
        self._most_rows = rows
        self.title = f"tensorrt {precision} on {device or kind}"


def _graph(checkpoint: Checkpoint, precision: str, target: str) -> Path:
    """The exported graph in the cache folder; exporting one needs torch, finding one does not."""
    path = onnx_path(checkpoint, precision, target)
    if path.exists():
        return path
    from .onnx_file import cached_export

    return cached_export(checkpoint, precision, target)


def _threads() -> int:
    """Threads of a session: torch's if it is in use, else OMP_NUM_THREADS, or 0 for ONNX Runtime's rule."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else 0


def require_provider(provider: str) -> None:
    """Raise ModelError if this onnxruntime was built without a provider."""
    have = onnxruntime.get_available_providers()
    if provider not in have:
        raise ModelError(
            f"onnxruntime has no {provider} here; it has: {', '.join(have)}; onnxruntime-gpu brings "
            "those for GPUs"
        )


class _Session:
    """A graph on one provider, fed through buffers on its device."""

    def __init__(self, graph: Path, provider: str, options: dict[str, str], kind: str, index: int):
        """Raises ModelError where ONNX Runtime would fall back to another provider."""
        self.kind, self._index = kind, index
        providers = [(provider, options)]
        if provider == PROVIDERS["tensorrt"]:  # for operators that it lacks
            providers.append((PROVIDERS["cuda"], {"device_id": str(index)}))
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = _threads()
        onnxruntime.set_default_logger_severity(4)  # a library that is missing is told below, in one line
        try:
            # Its own fallback would print and go on with the CPU.
            self._session = onnxruntime.InferenceSession(
                graph, settings, providers=providers, enable_fallback=0
            )
            chosen = self._session.get_providers()[0]
        except Exception as error:  # its errors have no base class of their own
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"onnxruntime cannot start {provider}; pass --backend torch; it says: {reason}"
            ) from error
        finally:
            onnxruntime.set_default_logger_severity(2)
        if chosen != provider:
            raise ModelError(
                f"onnxruntime fell back from {provider} to {chosen}: there is no GPU, or libraries are "
                "missing "
                "(https://onnxruntime.ai/docs/install names them); pass --backend torch"
            )
        self._inputs = [i.name for i in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    def run(self, batch: TokenBatch) -> np.ndarray:
        """The output for a batch; it is copied from the device once, after the graph's last operator."""
        binding = self._session.io_binding()
        for name in self._inputs:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(getattr(batch, name), self.kind, self._index)
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self._output, self.kind, self._index)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]


def _device(device: str | None) -> tuple[str, int]:
    """Kind and number of a device such as ``cuda:1``; CUDA if torch sees it and none is named."""
    kind, _, index = (device or ("cuda" if cuda_is_available() else "cpu")).partition(":")
    return kind, int(index) if index.isdigit() else 0


def _profiles(inputs: Sequence[str], rows: int, longest: int, budget: int) -> dict[str, str]:
    """TensorRT's range of shapes [rows, length]: from 1 x 1 to ``rows x longest``, at its best for half the
    length.

    Without them it would build a new engine for every shape that it has not seen.
    """
    middle = max(1, longest // 2)
    shapes = {"min": (1, 1), "opt": (min(rows, max(1, budget // middle)), middle), "max": (rows, longest)}
    return {
        f"trt_profile_{name}_shapes": ",".join(f"{i}:{r}x{c}" for i in inputs)
        for name, (r, c) in shapes.items()
    }


def _input_names(graph: Path) -> list[str]:
    import onnx

    model: Any = onnx.load(graph)
    return [value.name for value in model.graph.input]
