"""A model's network in torch: token ids to features, with the pooling of the layers that are wanted, and what
follows the pooling.
"""

import inspect
from typing import Any
from weakref import WeakKeyDictionary

import torch
import transformers

from ...store import ModelError
from ..encode.checkpoint import Checkpoint
from ..encode.facts import quiet
from . import pooling as poolings
from .steps import steps_of

_LOADED: "WeakKeyDictionary[Checkpoint, Featurizer]" = WeakKeyDictionary()


class Featurizer(torch.nn.Module):
    """Token ids to features in float32: the encoder, the pooling of the layers wanted, what follows it."""

    def __init__(
        self,
        network: torch.nn.Module,
        layers: tuple[int, ...],
        pooling: tuple[str, ...],
        layer_count: int,
        steps: torch.nn.Module | None = None,
    ):
        """``steps`` take the pooled vectors [rows, parts * hidden]; none unless given."""
        super().__init__()
        self.steps = torch.nn.Sequential() if steps is None else steps
        self.network, self.layers, self.pooling = network, layers, pooling
        stack = getattr(getattr(network, "encoder", None), "layer", None)
        if isinstance(stack, torch.nn.ModuleList):
            del stack[max(layers) :]  # layers above the highest one wanted are not computed
            layer_count = len(stack)
        self._only_last = layers == (layer_count,)
        self._takes_type_ids = "token_type_ids" in inspect.signature(network.forward).parameters

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Int64 [rows, length] each; features [rows, width], of tokens [rows, length, layers * hidden]."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._takes_type_ids:
            inputs["token_type_ids"] = token_type_ids
        if self._only_last:
            hidden = {self.layers[0]: self.network(**inputs).last_hidden_state}
        else:
            states = self.network(**inputs, output_hidden_states=True).hidden_states  # the first: embeddings
            hidden = {layer: states[layer] for layer in self.layers}
        return self.steps(poolings.features(hidden, attention_mask, self.layers, self.pooling))


def network_of(checkpoint: Checkpoint) -> Featurizer:
    """The network with torch's own attention; it is loaded once for a checkpoint."""
    if checkpoint not in _LOADED:
        _LOADED[checkpoint] = load_network(checkpoint)
    return _LOADED[checkpoint]


def load_network(checkpoint: Checkpoint, *, attention: str | None = None) -> Featurizer:
    """The network in float32 with the setting's layers and pooling, on the CPU, in evaluation mode.

    ``attention`` is transformers' name of an implementation; torch's own, where the architecture has it,
    unless given. Raises ModelError for a folder without sound weights, and for a quantized model, which is a
    graph only.
    """
    model, spec = checkpoint.model, checkpoint.spec
    if spec.precision == "int8":
        raise ModelError(f"model '{model}' is quantized, for backend openvino; it has no weights for torch")
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if attention is not None:
        options["attn_implementation"] = attention
    try:
        with quiet():  # an unused pooler or classifier is no news here
            network, report = transformers.AutoModel.from_pretrained(
                checkpoint.folder, output_loading_info=True, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ModelError(
            f"model '{model}' lacks weights that its configuration asks for: {', '.join(missing[:3])}"
        )
    steps = steps_of(checkpoint)
    return Featurizer(network, spec.layers, spec.pooling, checkpoint.layer_count, steps).eval()
