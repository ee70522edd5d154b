"""Fine-tuned models as what they are: an encoder, and a head on its first token's features.

A model for sequence classification reads the last hidden state of its first token, so it is scored,
exported and kept in a store like any head on ``cls`` features; and the other way round, a linear head
on such features can be what its classifier begins as.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.activations import get_activation

from ...store import FeatureSpec, HeadError, ModelError, SpecError
from ..encode.checkpoint import checkpoint_of
from ..encode.facts import longest_input, quiet
from ..heads.head import Head
from ..heads.labels import Labels, listing
from ..heads.networks import Standardized
from ..heads.tasks import MULTI_LABEL, REGRESSION, SINGLE_LABEL, Task

RECORD = "enc.json"
"""In a fine-tuned model's folder: what its configuration does not say of how it is used."""
_TASKS = {
    "regression": REGRESSION,
    "single_label_classification": SINGLE_LABEL,
    "multi_label_classification": MULTI_LABEL,
}
_NEARLY_LINEAR = 0.05
"""Scale at which tanh of a standardized feature is the feature, to 0.1 % at one standard deviation."""


class SequenceHead(nn.Module):
    """Features of the first token [rows, hidden] to logits [rows, outputs]: dense layer, activation, classifier."""

    def __init__(self, dense: nn.Linear, activation: nn.Module, classifier: nn.Linear):
        super().__init__()
        self.dense, self.activation, self.classifier = dense, activation, classifier

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits; without dropout, which is the model's own affair in training."""
        return self.classifier(self.activation(self.dense(features)))


def sequence_head(model: PreTrainedModel) -> SequenceHead:
    """A model's head, with the model's own layers. Raises ModelError for an architecture that is not built so."""
    classifier, base = getattr(model, "classifier", None), model.base_model
    pooler = getattr(base, "pooler", None)
    if isinstance(classifier, nn.Linear) and isinstance(getattr(pooler, "dense", None), nn.Linear):
        return SequenceHead(pooler.dense, nn.Tanh(), classifier)  # type: ignore[union-attr]
    if isinstance(classifier, nn.Linear) and isinstance(getattr(model, "pre_classifier", None), nn.Linear):
        return SequenceHead(model.pre_classifier, nn.ReLU(), classifier)  # type: ignore[arg-type]
    if isinstance(getattr(classifier, "out_proj", None), nn.Linear):
        activation = get_activation("gelu") if model.config.model_type == "electra" else nn.Tanh()
        return SequenceHead(classifier.dense, activation, classifier.out_proj)  # type: ignore[union-attr,arg-type]
    raise ModelError(
        f"models of type {model.config.model_type} cannot be taken apart into encoder and head; "
        "there are bert, roberta, xlm-roberta, camembert, electra and distilbert"
    )


@torch.no_grad()
def begin_as(
    model: PreTrainedModel, head: Head, spec: FeatureSpec, names: tuple[str, ...], numbers: list[int | None]
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
        raise HeadError(
            f"a classifier can begin as a linear head, not as '{head.kind}'"
            + " of several" * (head.members > 1)
        )
    if len(head.labels) != len(names) or sorted(n for n in numbers if n is not None) != list(
        range(len(names))
    ):
        raise HeadError(
            f"the head's labels are {listing(head.labels.values) or 'numbers'}, the task's {listing(names) or 'numbers'}"
        )
    target = sequence_head(model)
    if not isinstance(target.activation, nn.Tanh):
        raise ModelError(
            f"a classifier of type {model.config.model_type} cannot begin as a head: its activation is not tanh"
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


def is_tuned(folder: str | Path) -> bool:
    """Whether a folder holds a model rather than a head."""
    return (Path(folder) / "config.json").is_file() and not (Path(folder) / "head.json").is_file()


def load_classifier(folder: str | Path) -> Head:
    """What scores texts: a head, or a fine-tuned model as one. Raises HeadError or ModelError for what is neither."""
    return _tuned_head(Path(folder)) if is_tuned(folder) else Head.load(folder)


def _tuned_head(folder: Path) -> Head:
    record = _record(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not any("SequenceClassification" in name for name in config.architectures or ()):
        raise ModelError(
            f"'{folder}' holds an encoder without a classifier; `enc train-head` or `enc fine-tune` make one"
        )
    with quiet():
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            output_loading_info=True,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
        )
    if report["missing_keys"]:
        raise ModelError(
            f"'{folder}' lacks weights of its classifier: {', '.join(sorted(report['missing_keys'])[:3])}"
        )
    task: Task = _TASKS.get(config.problem_type or "", REGRESSION if config.num_labels == 1 else SINGLE_LABEL)
    names = class_names(config)
    labels = Labels(tuple(record.get("labels", names)) if task.has_classes else ())
    longest = longest_input(config, AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    checkpoint = checkpoint_of(
        str(folder), pooling="cls", max_length=min(record.get("max_length", 128), longest)
    )
    network = Standardized(sequence_head(model), (checkpoint.spec.hidden_size,), tokens=False).eval()
    return Head(
        kind="fine-tuned",
        labels=labels,
        spec=checkpoint.spec,
        network=network,
        feature_set=f"{folder.resolve().name}-cls-{checkpoint.spec.max_length}",
        text_column=record.get("text_column") or "",
        pair_column=record.get("pair_column"),
        task=task,
        metrics=record.get("metrics", {}),
        record=record,
    )


def class_names(config: Any) -> tuple[str, ...]:
    """The names of a model's classes in its order."""
    return tuple(config.id2label[number] for number in sorted(config.id2label))


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise HeadError(f"'{path}' is damaged: {error}") from error
