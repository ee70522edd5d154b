"""Layers and poolings as people write them, and the parts of stored features that they name."""

import re
from collections.abc import Sequence

from .errors import SpecError
from .spec import FeatureSpec


def parse_layers(layers: str | Sequence[int], available: int | Sequence[int]) -> tuple[int, ...]:
    """Layer numbers from ``last``, ``all``, ``6``, ``3,6`` or ``9-12``.

    ``available`` is the number of a model's layers, or the layers that are stored. Layer 0 is what a model's
    embeddings give to its first layer; ``all`` of a model's layers are those from 1. Raises SpecError for
    a layer that is not there, before any range is expanded.
    """
    known = tuple(range(available + 1)) if isinstance(available, int) else tuple(available)
    if not isinstance(layers, str):
        numbers = list(layers)
    elif layers == "last":
        numbers = [known[-1]]
    elif layers == "all":
        numbers = [number for number in known if number or not isinstance(available, int)]
    else:
        numbers = []
        for part in layers.split(","):
            written = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", part)
            if not written:
                raise SpecError(f"cannot read layers '{layers}'; write last, all, 6, 3,6 or 9-12")
            first, last = int(written[1]), int(written[2] or written[1])
            _require_known([first, last], known, available)
            if first > last:
                raise SpecError(f"layers '{layers}' count down; write the smaller number of a range first")
            numbers += range(first, last + 1)
    if not numbers:
        raise SpecError("no layers are named; write last, all, 6, 3,6 or 9-12")
    _require_known(numbers, known, available)
    return tuple(numbers)


def _require_known(numbers: Sequence[int], known: Sequence[int], available: int | Sequence[int]) -> None:
    for number in numbers:
        if number not in known:
            there = f"there are {', '.join(map(str, known))}"
            if isinstance(available, int):
                there = f"the model has layers 1 to {available}, and 0, the embeddings"
            raise SpecError(f"there is no layer {number}; {there}")


def select_parts(spec: FeatureSpec, text: str) -> FeatureSpec:
    """The setting of the parts that ``layers=9-12,pooling=mean`` names.

    Where no layers are named all stored layers are taken, and likewise for poolings. Raises SpecError
    for a part that the features do not have.
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
