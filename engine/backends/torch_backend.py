"""The encoder on PyTorch."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.devices import pick_device
from ..encode.encoder import half_of, stored
from ..encode.tokens import TokenBatch, Tokens
from .unpadded import load_unpadded, suits

# A batch's activations should stay in the cache of a CPU; a GPU wants far more to be busy.
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEncoder:
    """A transformers model on the CPU or a GPU, in float32 or with matrix products in bf16 or fp16.

    On a GPU, attention in bf16 and fp16 is without padding where the architecture is known (:mod:`engine.backends.unpadded`).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "fp32",
        device: str | None = None,
        tokens_per_batch: int | None = None,
    ):
        """Raises ModelError for a device that is not there, or a precision that it does not have."""
        self.device = pick_device(device)
        if precision == "fp16" and self.device.type == "cpu":
            raise ModelError("precision fp16 needs a GPU; on the CPU there are fp32 and bf16")
        self.spec, self.layer_count, self._tokenizer = (
            checkpoint.spec,
            checkpoint.layer_count,
            checkpoint.tokenizer,
        )
        unpadded = suits(checkpoint, self.device, precision)
        self._network = (load_unpadded(checkpoint) if unpadded else checkpoint.network).to(self.device)
        self._autocast = _AUTOCAST.get(precision)
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH.get(self.device.type, 2048)
        self.title = f"torch {precision} on {self.device}{', unpadded' if unpadded else ''}"

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """See :class:`Encoder`."""
        return self._tokenizer(texts, pairs)

    def prepare(self, sample: Tokens, texts: int) -> None:
        """Nothing to prepare."""

    def encode(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """See :class:`Encoder`. A batch that does not fit the device's memory is halved, and the budget with it."""
        for batch in batches:
            yield stored(self._features(batch), self.spec)

    @torch.inference_mode()
    def _features(self, batch: TokenBatch) -> np.ndarray:
        try:
            tensors = [
                torch.from_numpy(a).to(self.device)
                for a in (batch.input_ids, batch.attention_mask, batch.token_type_ids)
            ]
            with torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None):
                features = self._network(*tensors)
            return features.cpu().numpy()
        except torch.OutOfMemoryError as error:
            self.tokens_per_batch = half_of(batch, self.device, error)
        torch.cuda.empty_cache()
        return np.concatenate([self._features(half) for half in batch.halves()])
