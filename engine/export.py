"""A head and its encoder as one ONNX graph: token ids in, probabilities out."""

import json
from pathlib import Path
from typing import Unpack

import torch
from transformers import PreTrainedModel

from ..store import HeadError, ModelError
from .backends.onnx_file import Export, OnTop, export_graph
from .encode.asked import AskedSetting
from .encode.checkpoint import Checkpoint, checkpoint_of
from .heads.by_length import goes_by_length
from .heads.head import Head


class _Outputs(torch.nn.Module):
    """A head on features: probabilities [rows, labels], or a regression's predictions [rows]."""

    def __init__(self, head: Head):
        super().__init__()
        self.is_half = head.spec.dtype == "float16"
        self.head, self.task, self.shape = head.network, head.task, head.spec.shape
        self.pads = len(self.shape) == 2 and not goes_by_length(self.head)
        for one in self.head.modules():
            if isinstance(one, PreTrainedModel):
                one.set_attn_implementation("eager")  # plain operators, which graph optimizers know

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.is_half:  # the head was trained on, and is given elsewhere, features as they are stored
            features = features.half().float()
        if self.pads:  # the head takes tokens padded to max_length, as they are stored
            padding = features.new_zeros(features.shape[0], *self.shape)
            features = torch.cat([features, padding], 1)[:, : self.shape[0]]
        outputs = self.task.torch.activation(self.head(features))
        return outputs if self.task.has_classes else self.task.torch.decide(outputs)


def export_onnx(
    model: Checkpoint | str | Path,
    path: str | Path,
    *,
    head: Head | None = None,
    precision: str = "fp32",
    target: str = "any",
    **setting: Unpack[AskedSetting],
) -> Export:
    """Write an encoder, or with ``head`` a head and its encoder, as one graph.

    ``model`` is a checkpoint, or a name or folder as :func:`engine.backends.load.load_encoder` takes it, with
    ``setting``. With a head, the setting is that of the head's features unless it is given. For the inputs,
    ``precision`` and ``target`` see :func:`engine.backends.onnx_file.export_graph`. The output of a head is
    ``probabilities`` float32 [rows, labels], in the order of the labels in the file's metadata, or a
    regression's ``predictions`` float32 [rows]. Raises HeadError for a head with words, of which
    ``head.replace(words=None)`` is the part that can be exported, SpecError where the head takes other
    features than the checkpoint gives, and ModelError as ``export_graph`` does.
    """
    on_top = None
    if head is not None and head.combination is not None:
        raise ModelError(
            "this head compares two texts that are encoded apart, and has no single graph; score with "
            "`enc score`, or train it with --pairs joint"
        )
    if isinstance(model, Checkpoint):
        checkpoint = model
    else:
        asked = setting if setting or head is None else AskedSetting(**head.spec.setting)
        checkpoint = checkpoint_of(model, **asked)
    if head is not None:
        if head.words is not None:
            raise HeadError(
                "the head was trained with words, which stay outside an ONNX graph; pass --without-words to "
                "export its network alone, or train a head without --words"
            )
        head.require(checkpoint.spec)
        on_top = OnTop(
            network=_Outputs(head),
            output="probabilities" if head.task.has_classes else "predictions",
            unit=1.0 if head.task.has_classes else float(head.network.target_scale),
            metadata={"enc.labels": json.dumps(head.labels.values), "enc.task": head.task.name},
        )
    return export_graph(checkpoint, path, on_top=on_top, precision=precision, target=target)
