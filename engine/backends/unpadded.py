"""Attention without padding: the rows of a batch as one sequence, each token attending to its own row.

Torch's or flash-attn's variable-length kernel does so on a GPU, in bf16 or fp16, and linear layers
are spared the padding as well. Elsewhere the same path runs row by row: slow, and there for tests.
**Untested on a GPU.**
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import transformers
from torch.nn import functional

from ..encode.checkpoint import Checkpoint
from .network import Featurizer, load_network

ATTENTION = "enc_varlen"
"""The name of :func:`attend` among transformers' attention functions."""
_POSITIONS_FROM_ZERO = ("bert", "electra", "ernie", "distilbert", "albert")
_POSITIONS_AFTER_PADDING_ID = ("roberta", "xlm-roberta", "camembert", "data2vec-text", "roberta-prelayernorm")
_KERNELS = (("torch.nn.attention.varlen", "varlen_attn"), ("flash_attn", "flash_attn_varlen_func"))


class Unpadded(torch.nn.Module):
    """A transformers encoder that computes no padding: padded inputs and outputs, as it has them itself."""

    def __init__(self, network: torch.nn.Module):
        """``network`` is of an architecture that :func:`suits`, loaded with attention ``enc_varlen``."""
        super().__init__()
        self.network = network
        config: Any = network.config
        self._padding_id = config.pad_token_id if config.model_type in _POSITIONS_AFTER_PADDING_ID else None

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        output_hidden_states: bool = False,
        **others: torch.Tensor,
    ) -> "_Output":
        """Int64 [rows, length] each, padded on the right; ``others`` are token_type_ids, where the network
        takes them.
        """
        inside = attention_mask.bool()
        packed = {"input_ids": input_ids, "position_ids": self._positions(input_ids), **others}
        output = self.network(
            **{name: ids[inside][None] for name, ids in packed.items()},
            output_hidden_states=output_hidden_states,
            cu_seq_lens_q=functional.pad(attention_mask.sum(1).cumsum(0), (1, 0)).int(),
            max_length_q=input_ids.shape[1],
        )
        return _Output(output, inside)

    def _positions(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Position ids [rows, length] as the architecture numbers them by itself."""
        if self._padding_id is None:
            return torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        counted = input_ids != self._padding_id
        return counted.cumsum(1) * counted + self._padding_id


class _Output:
    """The states of an unpadded network, put back in rows [rows, length, hidden] when asked for; zero at
    padding.
    """

    def __init__(self, output: Any, inside: torch.Tensor):
        self._output, self._inside = output, inside

    @property
    def last_hidden_state(self) -> torch.Tensor:
        return self._rows(self._output.last_hidden_state)

    @property
    def hidden_states(self) -> "_Output":
        return self

    def __getitem__(self, layer: int) -> torch.Tensor:
        return self._rows(self._output.hidden_states[layer])

    def _rows(self, packed: torch.Tensor) -> torch.Tensor:
        rows = packed.new_zeros((*self._inside.shape, packed.shape[-1]))
        rows[self._inside] = packed[0]
        return rows


def load_unpadded(checkpoint: Checkpoint) -> Featurizer:
    """The network in float32 without padding inside; pooling is that of padded batches."""
    transformers.AttentionInterface.register(ATTENTION, attend)
    featurizer = load_network(checkpoint, attention=ATTENTION)
    featurizer.network = Unpadded(featurizer.network)
    return featurizer


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function for transformers: query, key and value [1, heads, tokens, width] of packed rows.

    ``cu_seq_lens_q`` is int32 [rows + 1], where each row begins and the last ends. Returns
    [1, tokens, heads, width]. Products are scaled by the root of the width, as in all BERTs.
    """
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    kernel = kernel_for(query)
    if kernel is not None:
        return kernel(q, k, v, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)[None], None
    lengths = cu_seq_lens_q.diff().tolist()
    rows = zip(*(tensor.transpose(0, 1).split(lengths, dim=1) for tensor in (q, k, v)), strict=True)
    attended = torch.cat([functional.scaled_dot_product_attention(*row) for row in rows], dim=1)
    return attended.transpose(0, 1)[None], None


def kernel_for(query: torch.Tensor) -> Callable[..., torch.Tensor] | None:
    """A function of q, k, v [tokens, heads, width], row limits twice, longest row twice; None where there is
    none.
    """
    return _installed_kernel() if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) else None


@cache
def _installed_kernel() -> Callable[..., torch.Tensor] | None:
    for module, name in _KERNELS:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    return None


def suits(checkpoint: Checkpoint, device: torch.device, precision: str) -> bool:
    """Whether a model can run unpadded: a known architecture, on a GPU with a kernel for it."""
    if device.type != "cuda" or precision not in ("bf16", "fp16") or _installed_kernel() is None:
        return False
    config: Any = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    width, rest = divmod(config.hidden_size, config.num_attention_heads)
    known = config.model_type in (*_POSITIONS_FROM_ZERO, *_POSITIONS_AFTER_PADDING_ID) and not getattr(
        config, "is_decoder", False
    )
    # The kernels' own limits: https://github.com/Dao-AILab/flash-attention
    return (
        known
        and not rest
        and width % 8 == 0
        and width <= 256
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )
