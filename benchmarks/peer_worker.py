"""A peer in a process of its own, which may be of another environment.

This file is run as a script and imports nothing of enc. The first line on its stdin is a request,
``{"peer", "folder", "texts", "max_length", "threads"}``, where ``folder`` holds the model and
``texts`` is a JSON file. The script loads the peer, warms it up, and answers ``{"versions"}`` or
``{"problem"}``. After that it answers each line ``run`` with the ``{"seconds"}`` of encoding all texts,
and ``save PATH`` also writes their features as .npy. The script ends when its stdin does.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = {
    "sentence-transformers encode, onnx": (
        "optimum-onnx",
        "sentence-transformers",
        "transformers",
        "onnxruntime",
    ),
    "sentence-transformers encode, openvino": (
        "optimum-intel",
        "sentence-transformers",
        "transformers",
        "openvino",
    ),
    "fastembed": ("fastembed", "onnxruntime"),
}
"""By the beginning of a peer's name: the package that makes it run, and others whose release matters."""


def sentence_transformers(
    folder: str, max_length: int, backend: str, **options: Any
) -> Callable[[list[str]], Any]:
    """``encode`` with a backend of its own; it sorts by length itself."""
    import sentence_transformers as st
    from sentence_transformers import models

    transformer = models.Transformer(folder, max_seq_length=max_length, backend=backend, model_args=options)
    pooling = models.Pooling(_hidden_size(folder), "mean")
    model = st.SentenceTransformer(modules=[transformer, pooling], device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def onnx(folder: str, max_length: int, convert: str = "") -> Callable[[list[str]], Any]:
    """Its ONNX backend: as exported, or optimized (``O3``) or quantized (``avx512_vnni``) by itself."""
    options = {"provider": "CPUExecutionProvider"}
    if not convert:
        return sentence_transformers(folder, max_length, "onnx", export=True, **options)
    import sentence_transformers as st
    from sentence_transformers import models
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model, export_optimized_onnx_model

    export = export_optimized_onnx_model if convert == "O3" else export_dynamic_quantized_onnx_model
    transformer = models.Transformer(folder, backend="onnx", model_args={"export": True, **options})
    plain = st.SentenceTransformer(
        modules=[transformer, models.Pooling(_hidden_size(folder), "mean")], device="cpu"
    )
    target = tempfile.mkdtemp()
    plain.save_pretrained(target)
    export(plain, convert, target)
    file = next(path.name for path in Path(target, "onnx").glob("*.onnx") if path.name != "model.onnx")
    return sentence_transformers(target, max_length, "onnx", file_name=f"onnx/{file}", **options)


def openvino(folder: str, max_length: int, **settings: str) -> Callable[[list[str]], Any]:
    """Its OpenVINO backend, with OpenVINO's own settings."""
    return sentence_transformers(folder, max_length, "openvino", export=True, ov_config=settings)


def fastembed(folder: str, max_length: int) -> Callable[[list[str]], Any]:
    """A custom model with mean pooling; the folder has its graph, and a tokenizer with the maximum length."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    source = ModelSource(hf="local/model")
    TextEmbedding.add_custom_model(
        "local/model",
        PoolingType.MEAN,
        normalization=False,
        sources=source,
        dim=_hidden_size(folder),
        model_file="model.onnx",
    )
    threads = int(os.environ["OMP_NUM_THREADS"])
    model = TextEmbedding(
        "local/model", specific_model_path=folder, threads=threads, providers=["CPUExecutionProvider"]
    )

    def encode(texts: list[str]) -> Any:
        # Sorted and in batches of 32, as sentence-transformers does. Its default pads more: 256, unsorted.
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        features: list[Any] = [None] * len(texts)
        for i, values in zip(order, model.embed([texts[i] for i in order], batch_size=32), strict=True):
            features[i] = values
        return features

    return encode


PEERS: dict[str, Callable[[str, int], Callable[[list[str]], Any]]] = {
    "sentence-transformers encode, onnx": onnx,
    "sentence-transformers encode, onnx O3": lambda folder, length: onnx(folder, length, "O3"),
    "sentence-transformers encode, onnx int8": lambda folder, length: onnx(folder, length, "avx512_vnni"),
    "sentence-transformers encode, openvino": openvino,
    "sentence-transformers encode, openvino bf16": lambda folder, length: openvino(
        folder, length, INFERENCE_PRECISION_HINT="bf16"
    ),
    "fastembed": fastembed,
}


def main() -> None:
    """Serve requests; see the module."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    request = json.loads(sys.stdin.readline())
    os.environ |= {
        "OMP_NUM_THREADS": str(request["threads"]),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    texts = json.loads(Path(request["texts"]).read_text(encoding="utf-8"))
    packages = next(names for beginning, names in PACKAGES.items() if request["peer"].startswith(beginning))
    if _version(packages[0]) is None:
        where = "benchmarks/peers-*.txt list environments that have it, for --peer-python"
        answer(problem=f"{packages[0]} is not installed; {where}")
        return
    try:
        encode = PEERS[request["peer"]](request["folder"], request["max_length"])
        encode(texts[:64])
    except Exception as error:  # a peer may fail in any way
        lines = str(error).strip().splitlines() or [""]
        answer(problem=f"{type(error).__name__}: {lines[0]}")
        return
    answer(versions={name: _version(name) for name in packages if _version(name)})
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        started = time.perf_counter()
        features = encode(texts)
        seconds = time.perf_counter() - started
        if command == "save":
            import numpy as np

            np.save(path, np.asarray(features, np.float32))
        answer(seconds=seconds)


def _hidden_size(folder: str) -> int:
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["hidden_size"]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
