"""A model's network on PyTorch."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.devices import pick_device
from ..encode.encoder import smaller_budget
from ..encode.tokens import TokenBatch
from .network import network_of
from .unpadded import load_unpadded, suits

# A batch's activations should stay in the cache of a CPU; a GPU wants far more to be busy.
_TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 65536}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackend:
    """A transformers model on the CPU or a GPU, in float32 or with matrix products in bf16 or fp16.

    On a GPU, attention in bf16 and fp16 is without padding where the architecture is known
    (:mod:`engine.backends.unpadded`).
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
        self.device = torch.device(pick_device(device))
        if precision == "fp16" and self.device.type == "cpu":
            raise ModelError("precision fp16 needs a GPU; on the CPU there are fp32 and bf16")
        unpadded = suits(checkpoint, self.device, precision)
        network = load_unpadded(checkpoint) if unpadded else network_of(checkpoint)
        self._network = network.to(self.device)
        self._autocast = _AUTOCAST.get(precision)
        self.tokens_per_batch = tokens_per_batch or _TOKENS_PER_BATCH.get(self.device.type, 2048)
        self.title = f"torch {precision} on {self.device}"
        if unpadded:
            self.title += ", unpadded"

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[np.ndarray]:
        """Features of each batch.

        A batch that does not fit the device's memory is halved, and the budget with it.
        """
        for batch in batches:
            yield self._features(batch)

    @torch.inference_mode()
    def _features(self, batch: TokenBatch) -> np.ndarray:
        try:
            arrays = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
            tensors = [torch.from_numpy(array).to(self.device) for array in arrays]
            with torch.autocast(self.device.type, self._autocast, enabled=self._autocast is not None):
                features = self._network(*tensors)
            return features.cpu().numpy()
        except torch.OutOfMemoryError as error:
            self.tokens_per_batch = smaller_budget(batch, self.device, error)
        torch.cuda.empty_cache()
        return np.concatenate([self._features(half) for half in batch.halves()])
