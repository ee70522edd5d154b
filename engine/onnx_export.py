"""A model as one ONNX file: token ids in, features (or a head's probabilities) out, both axes free."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from ..store import ModelError
from .checkpoint import Checkpoint, quiet
from .model import Head

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MAX_DIFFERENCE = 1e-3
"""Between torch and the exported graph in float32, absolute; more means a faulty export."""
_PROBES = ("a", "The room was clean, and the staff were kind.", "x y z " * 20)


class _WithHead(torch.nn.Module):
    """The features' network with a head on it: probabilities [rows, labels], or a regression's predictions [rows]."""

    def __init__(self, featurizer: torch.nn.Module, head: Head):
        super().__init__()
        self.featurizer, self.head = featurizer, head.network
        self.task, self.shape = head.task, head.spec.shape

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        features = self.featurizer(input_ids, attention_mask, token_type_ids)
        if len(self.shape) == 2:  # the head takes tokens padded to max_length, as they are stored
            padding = features.new_zeros(features.shape[0], *self.shape)
            features = torch.cat([features, padding], 1)[:, : self.shape[0]]
        outputs = self.task.activation(self.head(features))
        return outputs if self.task.has_classes else self.task.decide(outputs)


def export_onnx(checkpoint: Checkpoint, path: str | Path, *, head: Head | None = None) -> float:
    """Write the graph to ``path``, whole or not at all, and check it against torch in onnxruntime.

    Inputs are int64 [rows, length]: input_ids, attention_mask, token_type_ids. The output is
    ``features`` float32 [rows, *shape], with ``head`` ``probabilities`` float32 [rows, labels], or
    a regression's ``predictions`` float32 [rows]. The setting and the labels stand in the file's
    metadata. Returns the largest difference to torch; raises ModelError where it is above
    MAX_DIFFERENCE or an export package is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("exporting needs the package onnx: pip install 'enc-features[onnx]'") from error
    if head is not None:
        head.require(checkpoint.spec)
    network: torch.nn.Module = checkpoint.load(attention="eager")  # plain operators, which graph optimizers know
    if head is not None:
        network = _WithHead(network, head).eval()
    output = "features" if head is None else "probabilities" if head.task.has_classes else "predictions"
    axes = {name: {0: "rows", 1: "length"} for name in INPUTS} | {output: {0: "rows"}}
    if head is None and checkpoint.spec.pooling == ("tokens",):
        axes[output][1] = "length"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    example = tuple(torch.ones((2, 8), dtype=torch.int64) for _ in INPUTS)
    try:
        with warnings.catch_warnings(), quiet(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the tracer, about branches on shapes that do not vary here
            torch.onnx.export(
                network, example, str(part), input_names=list(INPUTS), output_names=[output], dynamic_axes=axes,
                opset_version=17, dynamo=False,
            )  # fmt: skip
        graph = onnx.load(part)
        metadata = {"enc.spec": checkpoint.spec.to_json()}
        if head is not None:
            metadata["enc.labels"], metadata["enc.task"] = json.dumps(head.labels.values), head.task.name
        onnx.helper.set_model_props(graph, metadata)
        onnx.save(graph, part)
        difference = _difference(checkpoint, network, part)
        if head is not None and not head.task.has_classes:
            difference /= float(head.network.target_scale)  # in the targets' own spread
        if difference > MAX_DIFFERENCE:
            raise ModelError(f"the exported graph differs from torch by {difference:.1e}; it was not kept")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return difference


def _difference(checkpoint: Checkpoint, network: torch.nn.Module, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batch = checkpoint.tokenizer(_PROBES).batch(np.arange(len(_PROBES)))
    arrays = {name: getattr(batch, name) for name in INPUTS}
    with torch.inference_mode():
        expected = network(*(torch.from_numpy(a) for a in arrays.values())).numpy()
    known = {i.name for i in session.get_inputs()}  # a model without segments has no input for them
    exported = np.asarray(session.run(None, {k: v for k, v in arrays.items() if k in known})[0])
    return float(np.abs(exported - expected).max())
