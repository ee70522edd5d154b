"""Fine-tuned models as what they are: an encoder, and a head on its first token's features.

A model for sequence classification reads the last hidden state of its first token, so it is scored,
exported and kept in a store like any head on ``cls`` features; and the other way round, a linear head
on such features can be what its classifier begins as.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...store import FeatureSpec, HeadError, ModelError, SpecError
from ..heads.head import Head
from ..heads.labels import Labels, listing
from ..heads.networks import Standardized
from ..heads.tasks import TASKS
from .tuned_files import HeadWeights, layout_of, read_tuned

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_NEARLY_LINEAR = 0.05
"""Scale at which tanh of a standardized feature is the feature, to 0.1 % at one standard deviation."""


class SequenceHead(nn.Module):
    """A fine-tuned model's head: features of the first token [rows, hidden] to logits [rows, outputs].

    It is a dense layer, an activation and a classifier.
    """

    def __init__(self, dense: nn.Linear, activation: nn.Module, classifier: nn.Linear):
        super().__init__()
        self.dense, self.activation, self.classifier = dense, activation, classifier

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits; without dropout, which is the model's own affair in training."""
        return self.classifier(self.activation(self.dense(features)))


def sequence_head(model: "PreTrainedModel") -> SequenceHead:
    """A model's head, with the model's own layers. Raises ModelError for an unknown architecture."""
    layout = layout_of(model.config.model_type)
    dense, classifier = model.get_submodule(layout.dense), model.get_submodule(layout.classifier)
    assert isinstance(dense, nn.Linear)
    assert isinstance(classifier, nn.Linear)
    return SequenceHead(dense, _ACTIVATIONS[layout.activation](), classifier)


def head_of_weights(weights: HeadWeights) -> SequenceHead:
    """A head of weights that were read from files, in torch."""
    return SequenceHead(
        _linear(weights.dense_weight, weights.dense_bias),
        _ACTIVATIONS[weights.activation](),
        _linear(weights.classifier_weight, weights.classifier_bias),
    )


def _linear(weight: Any, bias: Any) -> nn.Linear:
    layer = nn.Linear(*reversed(weight.shape))
    layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    return layer


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
    wanted = {
        "weights": spec.weights,
        "layers": spec.layers,
        "pooling": spec.pooling,
        "prefix": "",
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
    target = sequence_head(model)
    if not isinstance(target.activation, nn.Tanh):
        raise ModelError(
            f"a classifier of type {model.config.model_type} cannot begin as a head: "
            "its activation is not tanh"
        )
    linear = network.head.fc1
    assert isinstance(linear, nn.Linear)
    order = torch.tensor([numbers.index(number) for number in range(len(names))] or [0])
    scale = network.scale.float() * _NEARLY_LINEAR
    target.dense.weight.copy_(torch.diag(scale))
    target.dense.bias.copy_(-scale * network.mean.float())
    stretch, shift = (network.target_scale, network.target_mean) if network.targets else (1.0, 0.0)
    target.classifier.weight.copy_(linear.weight[order] * stretch / _NEARLY_LINEAR)
    target.classifier.bias.copy_(linear.bias[order] * stretch + shift)


def tuned_head(folder: Path, *, verify_model: bool = False) -> Head:
    """A fine-tuned model as a head. Raises ModelError or HeadError for a folder that holds none.

    ``verify_model`` computes the digests of the model's files anew.
    """
    from ..encode.checkpoint import checkpoint_of, facts_of

    files = read_tuned(folder)
    length = min(files.max_length, facts_of(str(folder), verify_model=verify_model).longest_input)
    spec = checkpoint_of(str(folder), verify_model=verify_model, pooling="cls", max_length=length).spec
    network = Standardized(head_of_weights(files.weights), (spec.hidden_size,), tokens=False).eval()
    return Head(
        kind="fine-tuned",
        labels=Labels(files.labels),
        spec=spec,
        network=network,
        feature_set=f"{folder.resolve().name}-cls-{spec.max_length}",
        text_column=files.record.get("text_column") or "",
        pair_column=files.record.get("pair_column"),
        task=TASKS[files.task],
        metrics=files.record.get("metrics", {}),
        record=files.record,
    )


def class_names(config: Any) -> tuple[str, ...]:
    """The names of a model's classes in its order."""
    return tuple(config.id2label[number] for number in sorted(config.id2label))
