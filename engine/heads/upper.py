"""The upper layers of a pre-trained encoder as a head on the states of a lower layer.

The layers, and the classifier above them, are transformers' own classes: a model for sequence classification
is made, its embeddings are replaced by what hands on the states it is given, and its lower layers are taken
out.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from ...store import ModelError
from ..encode.devices import cpu_has_bf16
from ..encode.facts import quiet
from .layouts import LAYOUTS
from .upper_arguments import check_arguments, require_architecture


class EncoderHead(nn.Module):
    """Layers of an encoder and a classifier: states of the layer below [rows, length, hidden] -> [rows,
    outputs].

    ``layers`` are as many as follow on the stored one; all unless given. With ``pooling`` ``model`` the
    classifier is the architecture's own, as in a fine-tuned model; with ``cls`` or ``mean`` it is one linear
    layer on the first token's state or on the mean of all. ``lr_decay`` is what the learning rate is
    multiplied by from layer to layer downwards. With ``init`` ``probe`` the classifier begins as a linear
    probe on the untrained layers, with ``model`` as the model has it. ``precision`` is that of the products:
    ``auto`` is bf16 where the processor multiplies in it. ``model`` is the folder of the model, where it has
    moved.

    ``config`` and ``first``, the number of layers below, are the configuration of the model that the head
    belongs to; training adds them.
    """

    groups_by_length = True
    """Rows of like length are best in one batch, padded to the longest of them."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        layers: int | None = None,
        pooling: str = "model",
        lr_decay: float = 0.9,
        init: str = "probe",
        precision: str = "auto",
        model: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        first: int = 0,
    ):
        super().__init__()
        check_arguments(
            {
                "layers": layers,
                "pooling": pooling,
                "lr_decay": lr_decay,
                "init": init,
                "precision": precision,
                "model": model,
            }
        )
        if config is None:
            raise ValueError("it begins as layers of a pre-trained model; `enc train-head` makes one")
        own = configuration(config, outputs)
        if own.hidden_size != shape[-1]:
            raise ValueError(f"its layers are {own.hidden_size} wide, not {shape[-1]}")
        if layers is not None and own.num_hidden_layers - first != layers:
            raise ValueError(f"its configuration has {own.num_hidden_layers - first} layers, not {layers}")
        self.pooling, self.lr_decay, self.precision, self.first = pooling, lr_decay, precision, first
        self.init = init
        self.arguments = {
            "layers": own.num_hidden_layers - first,
            "pooling": pooling,
            "lr_decay": lr_decay,
            "init": init,
            "precision": precision,
            "config": dict(config),
            "first": first,
        }
        """With which the head is made again."""
        kind: Any = AutoModelForSequenceClassification if pooling == "model" else AutoModel
        with quiet():
            with torch.device("meta"):  # most of it is taken out again
                self.model = kind.from_config(own)
            cut(self.model, first)
            self.model.to_empty(device="cpu")
            self.model.init_weights()  # also what is computed from the configuration alone
        if pooling != "model":
            if getattr(self.model, "pooler", None) is not None:
                self.model.pooler = None
            self.dropout = nn.Dropout(getattr(own, "hidden_dropout_prob", 0.1))
            self.classifier = nn.Linear(own.hidden_size, outputs)
        in_layers = set(layers_of(self.model).modules())
        for module in self.modules():
            if isinstance(module, nn.Linear) and module not in in_layers:
                module.__class__ = _InFloat32

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs], float32; ``mask`` is True at tokens, bool [rows, length]."""
        output = self.model(inputs_embeds=features, attention_mask=mask.long())
        if self.pooling == "model":
            return output.logits.float()
        states = output.last_hidden_state.float()
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.classifier(self.dropout(pooled)).float()

    def autocast(self) -> torch.autocast:
        """The context in which its products are computed."""
        is_bf16 = self.precision == "bf16" or (self.precision == "auto" and cpu_has_bf16())
        return torch.autocast("cpu", torch.bfloat16, enabled=is_bf16)

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float, bool]]:
        """Parameters that are trained, what their learning rate is multiplied by, and whether they decay.

        As in fine-tuning, biases and the weights of norms do not decay.
        """
        layers = layers_of(self.model)
        heights = {
            parameter: number for number, layer in enumerate(layers) for parameter in layer.parameters()
        }
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                below = len(layers) - heights.get(parameter, len(layers))
                decays = not name.endswith("bias") and "norm" not in name.lower()
                groups.setdefault((self.lr_decay**below, decays), []).append(parameter)
        return [(parameters, factor, decays) for (factor, decays), parameters in groups.items()]

    def final(self) -> tuple[nn.Linear, nn.Linear | None]:
        """The last layer of the classifier, and the dense one before a tanh, if that is what it has."""
        if self.pooling != "model":
            return self.classifier, None
        layout = LAYOUTS.get(self.model.config.model_type)
        if layout is None:
            return self.model.classifier, None
        dense = self.model.get_submodule(layout.dense) if layout.activation == "tanh" else None
        return self.model.get_submodule(layout.classifier), dense  # type: ignore[return-value]


class _InFloat32(nn.Linear):
    """A layer of a classifier. The states of many encoders have a large part in common, and bf16 would lose
    what is left of them.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class _GivenStates(nn.Module):
    """Stands where the embeddings were, and hands on the states of the layer below."""

    def forward(self, *inputs: Any, **named: Any) -> torch.Tensor:
        """The states, [rows, length, hidden]."""
        return next(
            one
            for one in (*inputs, *named.values())
            if isinstance(one, torch.Tensor) and one.is_floating_point()
        )


def cut(model: Any, first: int) -> None:
    """Take the embeddings and the layers below ``first`` out of a model: its ``inputs_embeds`` are then the
    states of layer ``first``.
    """
    base = model.base_model
    base.embeddings = _GivenStates()
    if hasattr(base, "embeddings_project"):
        del base.embeddings_project
    del layers_of(base)[:first]
    shared = getattr(getattr(base, "encoder", None), "relative_attention_bias", None)
    if shared is not None and first:
        shared.requires_grad_(False)  # the layers below, which stay as they are, have the same weights


def layers_of(model: Any) -> nn.ModuleList:
    """A model's layers, the lowest first."""
    base = model.base_model
    for name in ("encoder.layer", "transformer.layer", "layers"):
        try:
            found = base.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList):
            return found
    raise ModelError(f"the layers of a {type(model).__name__} were not found")


def configuration(values: Mapping[str, Any], outputs: int) -> Any:
    """transformers' configuration of a model with so many outputs. Raises ModelError for an architecture that
    is not known.
    """
    values = dict(values)
    model_type = values.pop("model_type", None)
    require_architecture(model_type)
    return AutoConfig.for_model(model_type, **values | {"num_labels": outputs})
