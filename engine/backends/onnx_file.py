"""A model as one ONNX file: token ids in, features out (or what a network makes of them), both axes free."""

import dataclasses
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...store import ModelError
from ...store.files import replaced_file
from ..encode.checkpoint import Checkpoint
from ..encode.facts import quiet
from . import graph_cache
from .graph_cache import INPUTS, onnx_path
from .network import load_network

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_DIFFERENCE = 1e-3
"""Between torch and the exported graph in float32, absolute; more means a faulty export."""
MIN_COSINE = {"fp16": 0.9999, "int8": 0.98}
"""Mean cosine to torch in float32 below which a graph of lower precision is not kept."""
TARGETS = ("any", "cpu", "cuda")
_CHECKED = "enc.export"


@dataclass(frozen=True)
class Export:
    """What became of an export: how it was made, and how it compares with torch in float32."""

    precision: str
    target: str
    fused: dict[str, int]
    """Fused operators by kind; empty for a graph of plain ONNX operators."""
    difference: float
    """Largest absolute difference of the output."""
    cosine: float
    """Mean cosine of the output's rows."""


@dataclass(frozen=True)
class OnTop:
    """A network that takes the features, and becomes part of the graph."""

    network: torch.nn.Module
    """Features float32 [rows, *shape] to the graph's output."""
    output: str
    """Name of the graph's output."""
    unit: float = 1.0
    """Differences to torch are measured in this unit: 1 for probabilities, the targets' spread for a
    regression.
    """
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Added to the file's metadata."""


class _Stacked(torch.nn.Module):
    """The features' network with another one on top of it."""

    def __init__(self, featurizer: torch.nn.Module, top: torch.nn.Module):
        super().__init__()
        self.featurizer, self.top = featurizer, top

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        return self.top(self.featurizer(input_ids, attention_mask, token_type_ids))


def export_graph(
    checkpoint: Checkpoint,
    path: str | Path,
    *,
    on_top: OnTop | None = None,
    precision: str = "fp32",
    target: str = "any",
) -> Export:
    """Write the graph to ``path``, whole or not at all, and check it against torch in onnxruntime.

    Inputs are int64 [rows, length]: input_ids, attention_mask, token_type_ids. The output is
    ``features`` float32 [rows, *shape], or that of the network ``on_top``. The setting stands in the
    file's metadata.

    ``target`` is ``any`` for plain ONNX operators, or ``cpu`` or ``cuda`` for operators fused for
    ONNX Runtime there (for ``cuda``, rows must be padded on the right). On the CPU, ONNX Runtime 1.31
    fuses a plain graph when it loads it, and runs that a seventh faster than one fused before; older
    releases gained from ``cpu``. ``precision`` is ``fp32``, ``fp16`` (for a GPU), or ``int8`` (for
    the CPU). A graph without a network on top is kept in the cache folder, and found there the next time.

    Raises ModelError where the graph is too far from torch (MAX_DIFFERENCE, MIN_COSINE), for
    combinations that there are not, and where an export package is missing.
    """
    onnx = _onnx()
    if precision not in ("fp32", *MIN_COSINE) or target not in TARGETS:
        raise ModelError(
            f"cannot export {precision} for {target}; there are fp32, fp16 and int8, for {', '.join(TARGETS)}"
        )
    if (precision, target) == ("int8", "cuda"):
        raise ModelError(
            "ONNX Runtime has no int8 kernels for these graphs on CUDA; export fp16, or int8 for the cpu"
        )
    path = Path(path)
    with replaced_file(path) as part:
        if on_top is None:
            graph = onnx.load(cached_export(checkpoint, precision, target))
        else:
            _make(checkpoint, on_top, precision, target, part)
            graph = onnx.load(part)
        metadata = {p.key: p.value for p in graph.metadata_props} | {"enc.spec": checkpoint.spec.to_json()}
        if on_top is not None:
            metadata |= on_top.metadata
        onnx.helper.set_model_props(graph, metadata)
        onnx.save(graph, part)
    return Export(**json.loads(metadata[_CHECKED]))


def cached_export(checkpoint: Checkpoint, precision: str, target: str) -> Path:
    """The checkpoint's graph in the cache folder, exported and checked if it is not there yet.

    Its metadata lack the setting: the graph is the same for every maximum length and prefix.
    Raises ModelError as :func:`export_graph`, and where the folder cannot be written.
    """
    path = onnx_path(checkpoint, precision, target)
    if not path.exists():
        _onnx()
        try:
            with replaced_file(path) as part:
                _make(checkpoint, None, precision, target, part)
        except OSError as error:
            raise ModelError(
                f"cannot keep the exported graph in '{path.parent}' ({error}); set XDG_CACHE_HOME"
            ) from error
    return path


def _onnx() -> Any:
    """The package, an extra. Raises ModelError where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError("exporting needs the package onnx: pip install 'enc-features[onnx]'") from error
    return onnx


def _make(checkpoint: Checkpoint, on_top: OnTop | None, precision: str, target: str, path: Path) -> None:
    """Export, fuse, convert and check; what was found stands in the file's metadata."""
    onnx = _onnx()
    from .onnx_graph import fp16_graph, fused_graph, int8_graph

    featurizer = load_network(checkpoint, attention="eager")  # plain operators, which graph optimizers know
    attention_heads = getattr(featurizer.network.config, "num_attention_heads", 0)
    network = featurizer if on_top is None else _Stacked(featurizer, on_top.network).eval()
    if on_top is None and (precision, target) != ("fp32", "any"):
        shutil.copyfile(cached_export(checkpoint, "fp32", "any"), path)
    else:
        _trace(checkpoint, network, "features" if on_top is None else on_top.output, path)
    graph, fusions = onnx.load(path), {}
    most = MAX_DIFFERENCE * (1.0 if on_top is None else on_top.unit)
    difference, cosine = _compared(checkpoint, network, graph)
    if target != "any":
        fused, found = fused_graph(
            path, target, heads=attention_heads, hidden_size=checkpoint.spec.hidden_size
        )
        compared = _compared(checkpoint, network, fused)
        # A pattern that was matched wrongly shows here; the plain graph is right all the same.
        if found and compared[0] <= most:
            graph, fusions, (difference, cosine) = fused, found, compared
    if difference > most:
        raise ModelError(f"the exported graph differs from torch by {difference:.1e}; it was not kept")
    if precision != "fp32":
        graph = fp16_graph(graph) if precision == "fp16" else int8_graph(graph)
        difference, cosine = _compared(checkpoint, network, graph)
        if not cosine >= MIN_COSINE[precision]:  # true of nan, too
            raise ModelError(
                f"the exported graph in {precision} has a mean cosine of {cosine:.5f} to float32, less than "
                f"{MIN_COSINE[precision]}; it was not kept; export fp32"
            )
    checked = Export(precision, target, fusions, difference, round(cosine, 7))
    onnx.helper.set_model_props(graph, {_CHECKED: json.dumps(dataclasses.asdict(checked))})
    onnx.save(graph, path)


def _trace(checkpoint: Checkpoint, network: torch.nn.Module, output: str, path: Path) -> None:
    axes = {name: {0: "rows", 1: "length"} for name in INPUTS} | {output: {0: "rows"}}
    if output == "features" and checkpoint.spec.pooling == ("tokens",):
        axes[output][1] = "length"
    ones = torch.ones((2, 8), dtype=torch.int64)
    example = (ones, ones, torch.zeros_like(ones))  # RoBERTa has one segment only
    with warnings.catch_warnings(), quiet(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer, about branches on shapes that do not vary here
        torch.onnx.export(
            network, example, str(path), input_names=list(INPUTS), output_names=[output], dynamic_axes=axes,
            opset_version=17, dynamo=False,
        )  # fmt: skip


def _compared(checkpoint: Checkpoint, network: torch.nn.Module, graph: "ModelProto") -> tuple[float, float]:
    """Largest difference and mean cosine of the graph's output to the network's, on the probes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that the CPU has few float16 kernels is no news here
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    batch = checkpoint.tokenizer(graph_cache.PROBES).batch(np.arange(len(graph_cache.PROBES)))
    arrays = {name: getattr(batch, name) for name in INPUTS}
    with torch.inference_mode():
        expected = network(*(torch.from_numpy(a) for a in arrays.values())).numpy()
    known = {i.name for i in session.get_inputs()}  # a model without segments has no input for them
    exported = np.asarray(session.run(None, {k: v for k, v in arrays.items() if k in known})[0])
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (expected, exported))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(np.abs(a - b).max()), float(cosine.mean())
