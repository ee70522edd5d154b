"""Where graphs made of a model are kept, so that a backend finds them without torch."""

import hashlib
from pathlib import Path

from ..encode.checkpoint import Checkpoint
from ..encode.model_files import cache_folder
from ..encode.releases import installed_release

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Names of a graph's inputs, int64 [rows, length] each."""
PROBES = (
    "a",
    "The room was clean, and the staff were kind.",
    "x y z " * 20,
    "Not worth the money!",
    "How many people live in the city of Lyon in 2019, and how many did in 1999?",
    "He said: \"I won't be back until 10:30\"; she didn't answer.",
    "房间很干净,服务员也很热情。",
    "交通不方便,离地铁站太远了,不会再来。",
    "The film tells, with a good deal of patience, the story of two sisters who inherit a farm that "
    "neither of them wants. "
    "What could have been a dull family drama turns into one of the funniest pictures of the year.",
    "La cuisine était excellente, mais le service un peu lent.",
    "0.5 mg/kg i.v. every 8 h; see section 4.2 (p. 17).",
    "so good so good so good",
)  # of several lengths and scripts: int8 rounds by the range of what it sees
"""Texts on which a new graph is compared with torch."""


def openvino_path(checkpoint: Checkpoint) -> Path:
    """The file of a checkpoint's OpenVINO graph, whether it is there or not; its weights lie beside it as
    .bin.
    """
    return _path("openvino", ".xml", checkpoint, ("openvino", "torch", "transformers"))


def onnx_path(checkpoint: Checkpoint, precision: str, target: str) -> Path:
    """The file of a checkpoint's ONNX graph, whether it is there or not."""
    return _path(
        "onnx", ".onnx", checkpoint, ("onnx", "onnxruntime", "torch", "transformers"), precision, target
    )


def _path(folder: str, suffix: str, checkpoint: Checkpoint, packages: tuple[str, ...], *options: str) -> Path:
    """The name is a digest of all that the graph depends on; maximum length and prefix are not among it."""
    spec = checkpoint.spec
    releases = tuple(map(installed_release, packages))
    steps = (spec.after_pooling,) if spec.after_pooling else ()
    parts = (spec.weights, spec.layers, spec.pooling, *steps, *options, releases, INPUTS, PROBES)
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
    return cache_folder() / folder / f"{name}{suffix}"
