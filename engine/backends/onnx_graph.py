"""Changes to an exported graph: fused operators for ONNX Runtime, and lower precisions.

Fusion is that of ``onnxruntime.transformers``, which knows BERT as PyTorch exports it with eager
attention. Its operators (``com.microsoft``) are ONNX Runtime's own; no other runtime reads them.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from ...store import ModelError


def fused_graph(
    path: Path, target: str, *, heads: int, hidden_size: int
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The graph at ``path`` with fused operators for ``cpu`` or ``cuda``, and how many of each kind it has.

    Where no attention was found, as in architectures that the optimizer does not know, the graph is
    the plain one and the counts are empty. For ``cuda`` the mask becomes a count of tokens a row,
    which its fastest kernels want: rows must be padded on the right.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    options.use_raw_attention_mask(target != "cuda")
    plain = onnx.load(path)
    if heads <= 0 or hidden_size % heads:
        return plain, {}
    try:
        with _silent():
            optimized = optimize_model(
                str(path),
                "bert",
                num_heads=heads,
                hidden_size=hidden_size,
                optimization_options=options,
                opt_level=1,
            )
            fusions = {
                name: count for name, count in optimized.get_fused_operator_statistics().items() if count
            }
    except Exception:  # the optimizer assumes BERT, and may fail in any way on what is not
        return plain, {}
    if not fusions.keys() & {"Attention", "MultiHeadAttention"}:
        return plain, {}
    return optimized.model, fusions


def fp16_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the encoder in float16; inputs, outputs, pooling and a head stay as they are."""
    from onnxruntime.transformers.onnx_model import OnnxModel

    # Pooling sums over a whole text, which may leave float16's range. The exporter names nodes by module.
    outside = [
        node.name for node in graph.graph.node if node.name.startswith("/") and "network/" not in node.name
    ]
    model = OnnxModel(graph)
    with _silent():
        model.convert_float_to_float16(keep_io_types=True, node_block_list=outside)
    _drop_round_trips(model.model)
    return model.model


def _drop_round_trips(graph: onnx.ModelProto) -> None:
    """Connect float32 nodes directly where the conversion put a cast to float16 and one back between them.

    The conversion also adds a cast once for every use of it; one is kept.
    """
    casts = {node.name: node for node in graph.graph.node if node.op_type == "Cast"}
    source = {}
    for node in casts.values():
        between = casts.get(f"{node.input[0]}_cast_to_fp16_node")
        if between is not None and node.name == f"{node.input[0]}_cast_to_fp32_node":
            source[node.output[0]] = between.input[0]
    seen: set[str] = set()
    kept = []
    for node in graph.graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
        if (node.op_type == "Cast" and node.name and node.name in seen) or any(
            name in source for name in node.output
        ):
            continue
        seen.add(node.name)
        kept.append(node)
    used = {name for node in kept for name in node.input} | {output.name for output in graph.graph.output}
    kept = [node for node in kept if node.op_type != "Cast" or any(name in used for name in node.output)]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)


def int8_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with weights in int8 by channel; activations are quantized as they come (dynamically)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # A head's own matrices are small, int8 would cost accuracy, and quantize_dynamic of ONNX Runtime 1.31
    # makes graphs of some of them that do not load. Layers of the model in a head `encoder` are large.
    names = [node.name for node in graph.graph.node if node.op_type in ("Gemm", "MatMul")]
    floating = [name for name in names if "/top/" in name and "layer" not in name]
    # Shape inference does not know the types behind fused operators.
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    with tempfile.TemporaryDirectory() as folder, _silent():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_dynamic(
                graph, path, per_channel=True, weight_type=QuantType.QInt8, extra_options=options,
                nodes_to_exclude=floating,
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"the graph cannot be quantized to int8: {str(error).splitlines()[0]}"
            ) from error
        return onnx.load(path)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the libraries' warnings, on the root logger among others, off the screen during a block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
