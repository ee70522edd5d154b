"""Names of feature sets: which names are allowed, and a readable one for a setting."""

import re

from .errors import StoreError
from .setting import RECIPES
from .spec import FeatureSpec


def require_name(name: str) -> str:
    """``name``, if it can name a feature set; raises StoreError if not."""
    if not re.fullmatch(r"[\w.-]{1,200}", name) or name.startswith((".", "_")):
        raise StoreError(
            f"'{name[:80]}' cannot name a feature set; use up to 200 letters, digits, '.', '_' and '-', and "
            "begin with a letter, a digit or '-'"
        )
    return name


def model_name(model: str) -> str:
    """A name for a feature set from that of its model: the last part of a path or hub id."""
    return re.sub(r"[^\w.-]+", "-", model.rstrip("/").rsplit("/", 1)[-1]).strip("-._") or "model"


def default_name(spec: FeatureSpec, model_layers: int) -> str:
    """A readable name for a setting, such as ``minilm-mean-128``.

    What is at its usual value is left out of the name.
    """
    model = model_name(spec.model)
    layers = ["layers" + _ranges(spec.layers)] if spec.layers != (model_layers,) else []
    if recipe := _recipe(spec):
        parts = [model, recipe, *layers]
    else:
        steps = [step.partition(":")[0] for step in spec.after_pooling]
        parts = [model, *spec.pooling, *steps, *layers, str(spec.max_length), *_unusual(spec)]
    if spec.prefix:
        parts.append(re.sub(r"\W+", "", spec.prefix) or "prefix")
    if spec.precision != "full":
        parts.append(spec.precision)
    if spec.dtype != "float16":
        parts.append(spec.dtype)
    return "-".join(parts)


def _recipe(spec: FeatureSpec) -> str | None:
    for name, setting in RECIPES.items():
        if all(getattr(spec, key) == value for key, value in setting.items() if key != "layers"):
            return name
    return None


def _unusual(spec: FeatureSpec) -> list[str]:
    parts = {
        f"windows{spec.stride or ''}": spec.long_text == "windows",
        f"first{spec.first_characters}": spec.first_characters > 0,
        "bare": not spec.special_tokens,
        "left": spec.padding_side == "left",
        "unmasked": not spec.attention_mask,
        "lowercase": spec.lowercase,
    }
    return [name for name, unusual in parts.items() if unusual]


def _ranges(layers: tuple[int, ...]) -> str:
    consecutive = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}to{layers[-1]}" if consecutive and len(layers) > 2 else "_".join(map(str, layers))
