"""Layer numbers as people write them, and the parts of stored features that they name."""

import re
from collections.abc import Sequence

from .errors import ModelError, SpecError
from .spec import FeatureSpec


def parse_layers(layers: str | Sequence[int], available: int | Sequence[int]) -> tuple[int, ...]:
    """Layer numbers from ``last``, ``all``, ``6``, ``3,6`` or ``9-12``.

    ``available`` is the number of a model's layers, or the layers there are. Raises ModelError for
    one that is not there.
    """
    known = tuple(range(1, available + 1)) if isinstance(available, int) else tuple(available)
    if not isinstance(layers, str):
        numbers = list(layers)
    elif layers == "last":
        numbers = [known[-1]]
    elif layers == "all":
        numbers = list(known)
    else:
        numbers = []
        for part in layers.split(","):
            first, _, last = part.strip().partition("-")
            if not (first.isdigit() and (last.isdigit() or not last)):
                raise ModelError(f"cannot read layers '{layers}'; write last, all, 6, 3,6 or 9-12")
            numbers += range(int(first), int(last or first) + 1)
    wrong = [n for n in numbers if n not in known]
    if wrong or not numbers:
        there = (
            f"the model has layers 1 to {available}"
            if isinstance(available, int)
            else f"there are {str(known)[1:-1]}"
        )
        raise ModelError(f"there is no layer {wrong[0] if wrong else layers}; {there}")
    return tuple(numbers)


def select_parts(spec: FeatureSpec, text: str) -> FeatureSpec:
    """The setting of the parts named by ``layers=9-12,pooling=mean``; what is not named stays whole.

    Raises SpecError for a part that the features do not have.
    """
    parts = {}
    for item in re.split(r",(?=\s*[a-z]+=)", text):
        name, equals, value = item.strip().partition("=")
        if name not in ("layers", "pooling") or not equals or name in parts:
            raise SpecError(
                f"cannot read '{text}'; write layers=9-12, pooling=mean, or layers=9-12,pooling=mean"
            )
        parts[name] = value
    layers = parse_layers(parts["layers"], spec.layers) if "layers" in parts else None
    pooling = [name.strip() for name in parts["pooling"].split(",")] if "pooling" in parts else None
    return spec.select(layers, pooling)
