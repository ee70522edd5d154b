"""The encoder on ONNX Runtime: CUDA where it has it, else the CPU."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch

from ..store import ModelError
from .checkpoint import Checkpoint
from .encoder import stored
from .onnx_export import cached_export
from .tokens import TokenBatch, Tokens

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}


class OnnxEncoder:
    """An exported model in float32, with pooling inside the graph."""

    def __init__(
        self, checkpoint: Checkpoint, *, precision: str = "fp32", device: str | None = None, tokens_per_batch: int | None = None
    ):
        """Raises ModelError for a precision or provider that is not there; one that falls back is not accepted."""
        if precision != "fp32":
            raise ModelError(f"backend onnx has precision fp32, not {precision}")
        kind = (device or "cpu").partition(":")[0]
        provider = _PROVIDERS.get(kind, kind)
        have = onnxruntime.get_available_providers()
        if provider not in have:
            raise ModelError(f"onnxruntime has no {provider} here; it has: {', '.join(have)}")
        self.spec, self.layer_count, self._tokenizer = checkpoint.spec, checkpoint.layer_count, checkpoint.tokenizer
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(cached_export(checkpoint, "fp32", "any")), options, providers=[provider])
        if provider not in self._session.get_providers():
            raise ModelError(
                f"onnxruntime fell back from {provider} to {self._session.get_providers()[0]}; its libraries are missing"
            )
        self._inputs = [i.name for i in self._session.get_inputs()]
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH.get(kind, 1024)
        self.title = f"onnx {precision} on {device or 'cpu'}"

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """See :class:`Encoder`."""
        return self._tokenizer(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Nothing to prepare."""

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """See :class:`Encoder`."""
        for batch in batches:
            features: Any = self._session.run(None, {name: getattr(batch, name) for name in self._inputs})[0]
            yield stored(features, self.spec)
