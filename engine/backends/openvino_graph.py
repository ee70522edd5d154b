"""A model's network as an OpenVINO graph, converted from torch."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...store import ModelError
from ...store.files import replaced_file
from ..encode.checkpoint import Checkpoint
from ..encode.facts import quiet
from .graph_cache import INPUTS, PROBES
from .network import network_of
from .openvino_library import openvino

MAX_DIFFERENCE = 1e-3
"""Between torch and the graph in float32, by the largest feature; more means a faulty conversion."""


def write_graph(checkpoint: Checkpoint, path: Path) -> Any:
    """Convert a checkpoint's network, keep it at ``path``, and return it.

    Where the folder cannot be written, the graph is returned all the same. Raises ModelError for a network
    that cannot be converted, or whose graph gives other features than torch.
    """
    model = converted(checkpoint)
    _compare(checkpoint, model)
    try:
        # The graph takes its place last: who finds it finds its weights.
        with replaced_file(path) as graph, replaced_file(path.with_suffix(".bin")) as weights:
            openvino.save_model(model, graph, compress_to_fp16=False)
            graph.with_suffix(".bin").replace(weights)
    except (OSError, RuntimeError):
        return model  # no room for a cache is no reason to stop
    return model


def converted(checkpoint: Checkpoint) -> Any:
    """The network as an OpenVINO model with both axes of its inputs free."""
    ones = torch.ones((2, 8), dtype=torch.int64)
    example = dict(
        zip(INPUTS, (ones, ones, torch.zeros_like(ones)), strict=True)
    )  # RoBERTa has one segment only
    # Torch's tracer warns of branches on shapes, which do not vary here; transformers of its own attributes.
    with warnings.catch_warnings(), quiet(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            model = openvino.convert_model(network_of(checkpoint), example_input=example)
        except Exception as error:  # the tracer and the converter raise many kinds for what they do not know
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"OpenVINO cannot convert model '{checkpoint.model}': {reason}") from error
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        port.get_tensor().set_names({name})
    model.validate_nodes_and_infer_types()
    return model


def _compare(checkpoint: Checkpoint, model: Any) -> None:
    """Raise ModelError unless the graph gives torch's features in float32."""
    batch = checkpoint.tokenize(PROBES).batch(np.arange(len(PROBES)))
    arrays = {name: getattr(batch, name) for name in INPUTS}
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = compiled(arrays)[0]
    with torch.inference_mode():
        expected = network_of(checkpoint)(*(torch.from_numpy(array) for array in arrays.values())).numpy()
    difference = float(np.abs(given - expected).max())
    if not difference <= MAX_DIFFERENCE * max(1.0, float(np.abs(expected).max())):  # true of nan, too
        raise ModelError(
            f"OpenVINO's graph of model '{checkpoint.model}' differs from torch by {difference:.1e}; "
            "pass --backend torch"
        )
