"""Heads as plain torch weights: a state_dict that a network of one's own takes, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...store import FeatureSpec, HeadError
from ...store.files import replaced_file
from .ensemble import Ensemble
from .head import Head
from .labels import Labels
from .making import code_of_training, make_head
from .networks import Standardized
from .own_code import OwnCode


def export_state_dict(head: Head, path: str | Path) -> list[str]:
    """Write the head's weights for ``torch.load(path, weights_only=True)``; returns their names.

    A linear head gives ``fc1.weight`` [outputs, inputs] and ``fc1.bias`` [outputs], the scaling of its
    features folded into them; other heads give their own names. Raises HeadError for scaling that
    plain weights cannot do, for an ensemble, for a head with words, and for a head over pairs that are
    encoded apart.
    """
    if head.combination is not None:
        raise HeadError(
            "the head's weights are of numbers that enc puts together of two texts "
            f"({', '.join(head.combination.names)}), and say nothing without it; score with `enc score`"
        )
    network = head.network
    if head.words is not None:
        raise HeadError(
            "the head was trained with words, which plain weights do not hold; train a head without --words"
        )
    if isinstance(network, Ensemble):
        raise HeadError("an ensemble has no plain weights; train without --ensemble")
    state = _folded(network) if head.kind == "linear" else _unscaled(network)
    with replaced_file(path) as part:
        torch.save(state, part)
    return list(state)


def import_state_dict(
    path: str | Path,
    spec: FeatureSpec,
    labels: Labels,
    *,
    feature_set: str,
    text_column: str = "sentence",
    kind: str = "linear",
    arguments: Mapping[str, Any] | None = None,
    allow_code: bool = False,
) -> Head:
    """A head from a file of weights such as :func:`export_state_dict` writes, for features of ``spec``.

    Only tensors are read, never code (``weights_only``); with ``allow_code``, the class of a
    ``module:Class`` kind is imported. Raises HeadError, naming what was expected,
    for anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise HeadError(f"cannot read '{path}': {error.strerror or error}") from error
    except Exception as error:  # torch raises as many kinds as there are ways not to be such a file
        raise HeadError(
            f"'{path}' is not a file of weights alone; save a state_dict with torch.save"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise HeadError(f"'{path}' holds no state_dict; save network.state_dict() with torch.save")
    network = make_head(kind, spec.shape, len(labels), arguments, code=OwnCode(allow_code))
    expected = {name: tuple(value.shape) for name, value in network.head.state_dict().items()}
    given = {str(name): tuple(value.shape) for name, value in state.items()}
    if given != expected:
        raise HeadError(
            f"'{path}' has {_listing(given)}, but a {kind} head of {len(labels)} labels on features "
            f"{list(spec.shape)} "
            f"has {_listing(expected)}"
        )
    network.head.load_state_dict({name: value.float() for name, value in state.items()})
    return Head.of_network(
        network.eval(),
        kind=kind,
        arguments=dict(arguments or {}),
        code=code_of_training(kind, allow_code=allow_code),
        labels=labels,
        spec=spec,
        feature_set=feature_set,
        text_column=text_column,
        record={"imported": Path(path).name},
    )


def _folded(network: Standardized) -> dict[str, torch.Tensor]:
    """A linear head's weights that do the scaling, too."""
    weight, bias = (network.head.state_dict()[f"fc1.{name}"].double() for name in ("weight", "bias"))
    mean, scale = network.mean.double(), network.scale.double()
    if network.tokens:
        _require_none(network)
    else:
        weight = weight * scale.reshape(-1)
        bias = bias - weight @ mean.reshape(-1)
    if network.targets:
        weight, bias = weight * network.target_scale, bias * network.target_scale + network.target_mean
    return {"fc1.weight": weight.float(), "fc1.bias": bias.float()}


def _unscaled(network: Standardized) -> dict[str, torch.Tensor]:
    _require_none(network)
    if network.targets:
        raise HeadError("a regression's outputs are scaled, which only a linear head's weights can do")
    return network.head.state_dict()


def _require_none(network: Standardized) -> None:
    if network.mean.any() or not bool((network.scale == 1).all()):
        raise HeadError(
            "the head scales its features, which its plain weights cannot do; train it with --no-standardize"
        )


def _listing(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in list(shapes.items())[:6]) or "nothing"
