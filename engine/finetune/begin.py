"""A classifier that begins as a linear head on frozen features."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...store import FeatureSpec, HeadError, ModelError, SpecError
from ..heads.head import Head
from ..heads.labels import listing
from ..heads.layouts import layout_of
from ..heads.networks import Standardized

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NEARLY_LINEAR = 0.05
"""Scale at which tanh of a standardized feature is the feature, to 0.1 % at one standard deviation."""


@torch.no_grad()
def begin_as(
    model: "PreTrainedModel", head: Head, spec: FeatureSpec, names: tuple[str, ...], numbers: list[int | None]
) -> None:
    """Make a model's classifier compute what a linear head on its ``cls`` features does.

    The dense layer scales the features so far down that tanh leaves them as they are, and the
    classifier scales them back. ``spec`` is that of the model's cls features, ``numbers`` the class
    number in the model of each of the head's labels. Raises SpecError, HeadError or ModelError where
    the head does not fit, saying why.
    """
    if head.combination is not None:
        raise HeadError(
            "the head compares two texts that are encoded apart, and no model has such a classifier; "
            "`enc train-head … --pairs joint` makes one to begin with"
        )
    if head.words is not None:
        raise HeadError(
            "the head was trained with words, which no model's classifier has; train one without --words"
        )
    wanted = {
        "weights": spec.weights,
        "layers": spec.layers,
        "pooling": spec.pooling,
        "after_pooling": (),
        "prefix": "",
        "lowercase": False,
        "hidden_size": spec.hidden_size,
    }
    differing = [
        f"{name} {getattr(head.spec, name)}, not {value}"
        for name, value in wanted.items()
        if getattr(head.spec, name) != value
    ]
    if differing:
        raise SpecError(
            f"the head was not trained on the model's cls features ({'; '.join(differing)}); "
            "`enc build-features … --pooling cls` and `enc train-head` make one that was"
        )
    network = head.network
    if head.kind != "linear" or not isinstance(network, Standardized):
        several = " of several" if head.members > 1 else ""
        raise HeadError(f"a classifier can begin as a linear head, not as '{head.kind}'{several}")
    known = sorted(number for number in numbers if number is not None)
    if len(head.labels) != len(names) or known != list(range(len(names))):
        theirs, ours = listing(head.labels.values) or "numbers", listing(names) or "numbers"
        raise HeadError(f"the head's labels are {theirs}, the task's {ours}")
    layout = layout_of(model.config.model_type)
    if layout.activation != "tanh":
        raise ModelError(
            f"a classifier of type {model.config.model_type} cannot begin as a head: "
            "its activation is not tanh"
        )
    dense, classifier = model.get_submodule(layout.dense), model.get_submodule(layout.classifier)
    linear = network.head.fc1
    assert isinstance(dense, nn.Linear)
    assert isinstance(classifier, nn.Linear)
    assert isinstance(linear, nn.Linear)
    order = torch.tensor([numbers.index(number) for number in range(len(names))] or [0])
    scale = network.scale.float() * _NEARLY_LINEAR
    dense.weight.copy_(torch.diag(scale))
    dense.bias.copy_(-scale * network.mean.float())
    stretch, shift = (network.target_scale, network.target_mean) if network.targets else (1.0, 0.0)
    classifier.weight.copy_(linear.weight[order] * stretch / _NEARLY_LINEAR)
    classifier.bias.copy_(linear.bias[order] * stretch + shift)


def class_names(config: Any) -> tuple[str, ...]:
    """The names of a model's classes in its order."""
    return tuple(config.id2label[number] for number in sorted(config.id2label))
