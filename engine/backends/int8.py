"""Encoders in int8: quantized once with SmoothQuant, kept as a model folder, run by OpenVINO.

SmoothQuant (Xiao et al. 2023, arXiv:2211.10438) moves the outliers of activations into the weights,
where int8 with a scale per channel holds them. It needs NNCF, and a sample of the texts; running the
result needs OpenVINO only. The folder holds the tokenizer, the quantized graph with the pooling in
it, and a record of how it was made; its digest is the encoder's identity like that of any weights.
"""

import json
import logging
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...store import ModelError
from ...store.files import replaced_folder, require_replaceable
from ..encode.checkpoint import Checkpoint
from ..encode.model_files import INT8_GRAPH, INT8_RECORD, TOKENIZER_FILES
from ..encode.tokens import Tokens
from .graph_cache import INPUTS

SAMPLE_TEXTS = 300
_ALPHA = 0.85  # how much of the activations' range moves into the weights; of 0.6 to 0.95 the nearest to fp32


@dataclass(frozen=True)
class Recipe:
    """What is quantized and what is left in higher precision."""

    name: str
    kept: tuple[str, ...]
    """Regular expressions of the operations that are not quantized."""


RECIPES = (
    Recipe("all layers in int8", ()),
    Recipe(
        "output projections kept in bf16",
        (r".*[./]output[./].*dense.*", r".*\.ffn\.lin2.*", r".*\.out_lin.*"),
    ),
)
"""Fastest first. What follows an activation or an attention has the widest outliers, and is kept first."""


def require_packages() -> None:
    """Raise ModelError where NNCF or OpenVINO is missing."""
    for package in ("nncf", "openvino"):
        if find_spec(package) is None:
            raise ModelError(f"quantizing needs the package {package}: pip install 'enc-features[int8]'")


def quantize(checkpoint: Checkpoint, sample: Tokens, recipe: Recipe, folder: str | Path) -> None:
    """Write the int8 model of a checkpoint's setting to ``folder``, whole or not at all.

    Raises ModelError where NNCF or OpenVINO is missing or ``folder`` holds something else.
    """
    require_packages()
    from .openvino_library import openvino

    # isort: split
    import nncf  # which would send the telemetry of OpenVINO, too

    from .openvino_graph import converted

    folder = Path(folder)
    require_replaceable(folder, INT8_RECORD, ModelError, "an int8 model")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    batches = [sample.batch(np.array([i])) for i in range(min(SAMPLE_TEXTS, len(sample.lengths)))]
    inputs = [{name: getattr(batch, name) for name in INPUTS} for batch in batches]
    with redirect_stdout(sys.stderr):  # where NNCF's progress bars belong
        quantized: Any = nncf.quantize(
            converted(checkpoint),
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(patterns=list(recipe.kept), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=_ALPHA)
            ),
        )
    spec = checkpoint.spec
    record = {
        "model": spec.model,
        "weights": spec.weights,
        "recipe": recipe.name,
        "texts": len(inputs),
        "nncf": nncf.__version__,
        "openvino": openvino.__version__,
        "setting": {name: value for name, value in spec.setting.items() if name != "dtype"},
    }
    with replaced_folder(folder) as part:
        for pattern in ("config.json", *TOKENIZER_FILES):
            for path in checkpoint.folder.glob(pattern):
                shutil.copyfile(path, part / path.name)
        openvino.save_model(quantized, part / INT8_GRAPH, compress_to_fp16=False)
        (part / INT8_RECORD).write_text(
            json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
