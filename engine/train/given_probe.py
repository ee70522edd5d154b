"""The classifier of a head `encoder` that begins as a linear head which was trained before."""

from typing import TYPE_CHECKING, Any

import torch

from ...store import HeadError
from ..heads.head import Head
from ..heads.kinds import ENCODER
from ..heads.labels import listing
from ..heads.networks import Standardized

if TYPE_CHECKING:
    from .examples import TrainData

_NEARLY_LINEAR = 0.05
"""Scale at which tanh of a standardized feature is the feature, to 0.1 % at one standard deviation."""


@torch.no_grad()
def begin_as_given(network: Standardized, probe: Head, data: "TrainData") -> None:
    """Make the classifier of a head `encoder` compute what a linear head does.

    ``probe`` was trained on pooled features of the layer that the untrained head ends with: on ``cls``, or
    for ``pooling=mean`` on ``mean``. Raises HeadError where it was not, and where its labels are others.
    """
    head: Any = network.head
    last = head.first + head.arguments["layers"]
    _require_fitting(probe, data, last, "mean" if head.pooling == "mean" else "cls")
    final, dense = head.final()
    if head.pooling == "model" and dense is None:
        raise HeadError(
            f"the classifier of a {head.model.config.model_type} cannot begin as a linear head; "
            "pass --head-args pooling=cls"
        )
    trained: Any = probe.network
    order = [probe.labels.values.index(value) for value in data.labels.values] or [0]
    weight, bias = trained.head.fc1.weight[order], trained.head.fc1.bias[order]
    if network.targets:
        ours, theirs = network.target_scale, trained.target_scale
        weight = weight * theirs / ours
        bias = (bias * theirs + trained.target_mean - network.target_mean) / ours
    mean, scale = trained.mean.float(), trained.scale.float()
    weight = weight * scale
    bias = bias - weight @ mean
    if dense is not None:
        begin_nearly_linear(dense, final, weight, bias, mean, 1 / scale.clamp(min=1e-6))
    else:
        final.weight.copy_(weight)
        final.bias.copy_(bias)


def begin_nearly_linear(
    dense: torch.nn.Linear,
    final: torch.nn.Linear,
    weight: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
    deviation: torch.Tensor,
) -> None:
    """Make a dense layer, a tanh and a final layer compute a linear one of states with this mean and
    deviation by feature: the dense layer scales them so far down that the tanh leaves them as they are.
    """
    scale = _NEARLY_LINEAR / deviation
    dense.weight.copy_(torch.diag(scale))
    dense.bias.copy_(-scale * mean)
    final.weight.copy_(weight / scale)
    final.bias.copy_(bias + weight @ mean)


def _require_fitting(probe: Head, data: "TrainData", layer: int, pooling: str) -> None:
    """Raise HeadError unless a head is linear, on these features of the same model, of the same labels."""
    if probe.kind != "linear" or probe.members > 1:
        several = " of several" if probe.members > 1 else ""
        raise HeadError(f"head '{ENCODER}' can begin as a linear head, not as '{probe.kind}'{several}")
    if probe.combination is not None or probe.words is not None:
        raise HeadError(
            f"head '{ENCODER}' can begin as a linear head on features alone, and this one has "
            f"{'words beside them' if probe.words is not None else 'two texts that are encoded apart'}"
        )
    wanted = {
        "weights": data.spec.weights,
        "layers": (layer,),
        "pooling": (pooling,),
        "prefix": data.spec.prefix,
        "after_pooling": (),
        "hidden_size": data.spec.hidden_size,
    }
    differing = [
        f"{name} {getattr(probe.spec, name)}, not {value}"
        for name, value in wanted.items()
        if getattr(probe.spec, name) != value
    ]
    if differing:
        raise HeadError(
            f"the linear head was not trained on what the classifier of head '{ENCODER}' takes "
            f"({'; '.join(differing)}); `enc build-features … --pooling {pooling} --layers {layer}` and "
            "`enc train-head` make one that was"
        )
    if probe.task is not data.task or set(probe.labels.values) != set(data.labels.values):
        theirs = listing(probe.labels.values) or probe.task.name
        ours = listing(data.labels.values) or data.task.name
        raise HeadError(f"the linear head's labels are {theirs}, the rows' {ours}")
