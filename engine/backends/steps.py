"""The steps after pooling in torch: linear layers with their activations, and normalizing."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from ...store import ModelError
from ...store.steps import DenseStep, dense_step
from ..encode.checkpoint import Checkpoint

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__.lower(): kind
    for kind in (
        nn.Identity, nn.Tanh, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
        nn.Mish, nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus,
        nn.Softsign, nn.Tanhshrink,
    )
}  # fmt: skip


class Normalized(nn.Module):
    """Vectors scaled to length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[rows, width] to [rows, width]."""
        return functional.normalize(vectors, p=2.0, dim=-1)


class Dense(nn.Module):
    """A linear layer and its activation, in float32 whatever the network before it is computed in."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: nn.Module):
        super().__init__()
        outputs, inputs = weight.shape
        self.linear = nn.Linear(inputs, outputs, bias=bias is not None)
        tensors = {"weight": weight.float()} | ({} if bias is None else {"bias": bias.float()})
        self.linear.load_state_dict(tensors)
        self.activation = activation

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[rows, inputs] to [rows, outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            return self.activation(self.linear(vectors.float()))


def steps_of(checkpoint: Checkpoint) -> nn.Sequential:
    """The steps of a checkpoint's setting, as one module; an empty one where there are none.

    Raises ModelError for weights that changed since the checkpoint was opened, or are not finite.
    """
    modules = []
    for step in checkpoint.spec.after_pooling:
        dense = dense_step(step)
        modules.append(Normalized() if dense is None else _dense(checkpoint, dense))
    return nn.Sequential(*modules)


def _dense(checkpoint: Checkpoint, step: DenseStep) -> Dense:
    path = checkpoint.layer_file(step.weights)
    tensors = _tensors(path, step.weights, checkpoint.model)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"'{name}' in '{path}' holds values that are not finite; fetch the model again")
    return Dense(tensors["linear.weight"], tensors.get("linear.bias"), _ACTIVATIONS[step.activation]())


def _tensors(path: Path, digest: str, model: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file that has this digest still."""
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(f"'{path}' has changed since model '{model}' was opened; start again")
        return load(content)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"'{path}' cannot be read ({str(error).splitlines()[0]})") from error
