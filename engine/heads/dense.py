"""Heads of dense layers by NumPy, so that scoring with them needs no torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .float_values import float_blocks
from .kinds import TUNED

ACTIVATIONS = ("tanh", "relu", "gelu")
_ARGUMENTS = {"linear": set(), "mlp": {"hidden", "dropout"}, TUNED: {"activation"}}
_FEW_OUTPUTS = 2  # to here, matrix libraries are faster at a product with each vector


@dataclass(frozen=True)
class TokenScaling:
    """Scaling of token features [rows, max_length, hidden], which leaves padding as it is: zeros."""

    mean: np.ndarray
    """[hidden]"""
    scale: np.ndarray
    """[hidden]"""

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """Scaled features, float32."""
        is_token = (features != 0).any(-1, keepdims=True)
        return np.where(is_token, (features - self.mean) * self.scale, np.float32(0))


@dataclass(frozen=True)
class DenseHead:
    """Dense layers with one activation between them; the scaling of pooled features is in the first layer."""

    weights: tuple[np.ndarray, ...]
    """Of each layer [outputs, inputs], float32."""
    biases: tuple[np.ndarray, ...]
    """Of each layer [outputs], float32."""
    activation: str = "relu"
    scaling: TokenScaling | None = None
    target_mean: float = 0.0
    target_scale: float = 1.0

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Logits float32 [rows, outputs] of features float32 [rows, *shape], which stay as they are."""
        if self.scaling is not None:
            features = self.scaling.scaled(features)
        values = features.reshape(len(features), -1)
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = _product(values, weight) + bias
            if number != last:
                values = activated(values, self.activation)
        if self.target_scale != 1 or self.target_mean != 0:
            values = values * np.float32(self.target_scale) + np.float32(self.target_mean)
        return values


def dense_members(
    kind: str,
    weights: Mapping[str, np.ndarray],
    members: int,
    shape: tuple[int, ...],
    outputs: int,
    arguments: Mapping[str, Any],
) -> list[DenseHead] | None:
    """The heads of an ensemble, or the one of a single head; None for a kind that is more than dense layers.

    Raises as :func:`dense_head`.
    """
    activation, found = arguments.get("activation", "relu"), []
    for prefix in _prefixes(members):
        member = dense_head(kind, weights, shape, outputs, activation=activation, prefix=prefix)
        if member is None:
            return None
        _require_arguments(kind, arguments, member)
        found.append(member)
    return found


def _require_arguments(kind: str, arguments: Mapping[str, Any], head: DenseHead) -> None:
    """Raise ValueError where a head's arguments are not those of its weights: one of them is then damaged."""
    unknown = arguments.keys() - _ARGUMENTS[kind]
    if unknown:
        raise ValueError(f"head '{kind}' has no argument '{min(unknown)}'")
    if head.activation not in ACTIVATIONS:
        raise ValueError(f"no activation '{head.activation}'; there are {', '.join(ACTIVATIONS)}")
    hidden = arguments.get("hidden")
    widths = [len(weight) for weight in head.weights[:-1]]
    if hidden is not None and widths != ([hidden] if isinstance(hidden, int) else list(hidden)):
        raise ValueError(f"hidden is {hidden}, and the weights have {widths}")


def scaling_of(weights: Mapping[str, np.ndarray], members: int) -> np.ndarray:
    """The mean by which a head's features are scaled, or those of the first member of an ensemble."""
    return weights[f"{_prefixes(members)[0]}mean"]


def _prefixes(members: int) -> list[str]:
    return [f"members.{number}." for number in range(members)] if members > 1 else [""]


def mean_outputs(
    members: Sequence[DenseHead], features: np.ndarray, activation: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Means of the members' probabilities (or values), float32 [rows, outputs], of features [rows, *shape].

    There must be a row. Features of float64 give float64, which does not show in which order a library adds
    up. Raises HeadError for float16 features that are not finite.
    """
    blocks = []
    for block in [features] if features.dtype == np.float64 else float_blocks(features):
        outputs = [activation(member.logits(block)) for member in members]
        blocks.append(outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0))
    return np.concatenate(blocks)


def dense_head(
    kind: str,
    weights: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    outputs: int,
    *,
    activation: str = "relu",
    prefix: str = "",
) -> DenseHead | None:
    """The head of a network's weights, by their names in its state_dict after ``prefix``; None for a kind
    that is more than dense layers.

    ``shape`` is that of a row's features. Raises ValueError where the weights do not fit, and KeyError
    where some are missing.
    """
    own = {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}
    layers = _layer_names(kind, own)
    if layers is None:
        return None
    matrices = [own[f"{name}.weight"].astype(np.float64) for name in layers]
    biases = [own[f"{name}.bias"].astype(np.float64) for name in layers]
    _require_shapes(matrices, biases, math.prod(shape), outputs)
    mean, scale = own["mean"].astype(np.float64), own["scale"].astype(np.float64)
    scaling = None
    if not mean.any() and (scale == 1).all():
        pass  # the scaling does nothing
    elif len(shape) == 2 and mean.shape == shape[-1:]:
        scaling = TokenScaling(mean.astype(np.float32), scale.astype(np.float32))
    else:
        matrices[0] = matrices[0] * scale.ravel()
        biases[0] = biases[0] - matrices[0] @ mean.ravel()
    return DenseHead(
        tuple(matrix.astype(np.float32) for matrix in matrices),
        tuple(bias.astype(np.float32) for bias in biases),
        activation,
        scaling,
        float(own.get("target_mean", 0.0)),
        float(own.get("target_scale", 1.0)),
    )


def activated(values: np.ndarray, activation: str) -> np.ndarray:
    """Values of an activation, ``tanh``, ``relu`` or ``gelu`` (with the error function), float32."""
    if activation == "tanh":
        return np.tanh(values)
    if activation == "relu":
        return np.maximum(values, 0)
    from scipy.special import erf

    return 0.5 * values * (1 + erf(values * np.float32(0.5**0.5)))


def _product(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if len(weight) > _FEW_OUTPUTS:
        return values @ weight.T
    found = np.empty((len(weight), len(values)), values.dtype)
    for vector, products in zip(weight, found, strict=True):
        np.dot(values, vector, out=products)
    return found.T


def _layer_names(kind: str, weights: Mapping[str, np.ndarray]) -> list[str] | None:
    if kind == "linear":
        return ["head.fc1"]
    if kind == TUNED:
        return ["head.dense", "head.classifier"]
    if kind == "mlp":
        numbers = {int(name.split(".")[2]) for name in weights if name.startswith("head.layers.")}
        return [f"head.layers.{number}" for number in sorted(numbers)]
    return None


def _require_shapes(matrices: list[np.ndarray], biases: list[np.ndarray], inputs: int, outputs: int) -> None:
    width = inputs
    for matrix, bias in zip(matrices, biases, strict=True):
        if matrix.ndim != 2 or matrix.shape[1] != width or bias.shape != matrix.shape[:1]:
            raise ValueError(f"a layer has weights {list(matrix.shape)} for {width} inputs")
        width = len(matrix)
    if width != outputs:
        raise ValueError(f"it has {width} outputs, not {outputs}")
