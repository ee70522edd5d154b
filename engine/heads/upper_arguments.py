"""What the head `encoder` may be asked for, checked without torch."""

from collections.abc import Mapping
from typing import Any

from ...store import ModelError

ARCHITECTURES = (
    "bert",
    "ernie",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "mpnet",
    "modernbert",
)
"""By ``model_type`` of a configuration: those whose layers go on from states as they do inside the model."""
POOLINGS = ("model", "cls", "mean")
STARTS = ("probe", "model")
PRECISIONS = ("auto", "bf16", "fp32")


def require_architecture(model_type: object) -> None:
    """Raise ModelError for an architecture whose layers cannot be a head."""
    if model_type not in ARCHITECTURES:
        raise ModelError(
            f"layers of a model of type '{model_type}' cannot be a head; there are {', '.join(ARCHITECTURES)}"
        )


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError for a value that an argument of the head cannot have."""
    for name, known in (("pooling", POOLINGS), ("init", STARTS), ("precision", PRECISIONS)):
        if arguments.get(name, known[0]) not in known:
            raise ValueError(f"{name} is '{arguments[name]}'; there are {', '.join(known)}")
    layers, decay = arguments.get("layers"), arguments.get("lr_decay", 1)
    if layers is not None and (not isinstance(layers, int) or isinstance(layers, bool) or layers < 1):
        raise ValueError(f"layers is {layers}; it must be a whole number from 1 up")
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 < decay <= 1:
        raise ValueError(f"lr_decay is {decay}; it must be a number above 0 and up to 1")
    if not isinstance(arguments.get("model"), (str, type(None))):
        raise ValueError(f"model is {arguments['model']}; it must be the folder of a model")
