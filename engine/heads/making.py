"""From a head's kind and arguments to its network, and from a network to its weights."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ...store import HeadError
from ...store.nearest import did_you_mean
from .custom import class_hashes, load_class
from .dense import scaling_of
from .ensemble import Ensemble
from .kinds import HEADS, TUNED
from .networks import SequenceHead, Standardized
from .own_code import OwnCode
from .tasks import Task


def head_class(
    kind: str,
    arguments: Mapping[str, Any],
    *,
    tokens: bool,
    code: OwnCode | None = None,
    is_made: bool = False,
) -> type[nn.Module]:
    """The class of a head kind, once its arguments and the features' form are known to fit it.

    Raises HeadError for a kind or an argument that there is not, or a head over tokens without tokens.
    ``code``: see :func:`engine.heads.custom.load_class`. ``is_made`` tells that the arguments are those of a
    head, with what training adds to them, rather than a user's.
    """
    network = _class_of(kind, code or OwnCode())
    if kind in HEADS and HEADS[kind].needs_tokens and not tokens:
        pooled = ", ".join(name for name, record in HEADS.items() if not record.needs_tokens)
        raise HeadError(
            f"head '{kind}' reads token features, and these are pooled: build a feature set with "
            f"`enc build-features … --pooling tokens`, or choose another head ({pooled})"
        )
    known = list(inspect.signature(network).parameters.values())[2:]
    names = [p.name for p in known if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if kind in HEADS and not is_made:
        names = [name for name in names if name not in HEADS[kind].added]
    unknown = [name for name in arguments if name not in names]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in known):
        takes = f"it takes: {', '.join(names)}" if names else "it takes none"
        raise HeadError(
            f"head '{kind}' has no argument '{unknown[0]}' ({takes}); mend --head-args"
            f"{did_you_mean(unknown[0], names)}"
        )
    return network


def _class_of(kind: str, code: OwnCode) -> type[nn.Module]:
    if kind in HEADS:
        return HEADS[kind].network
    return SequenceHead if kind == TUNED else load_class(kind, code)


def make_head(
    kind: str,
    shape: tuple[int, ...],
    outputs: int,
    arguments: Mapping[str, Any] | None = None,
    *,
    scaling_shape: tuple[int, ...] | None = None,
    targets: bool = False,
    code: OwnCode | None = None,
) -> Standardized:
    """A head with fresh weights, from torch's current random state, whose scaling does nothing yet.

    ``scaling_shape`` is that of a head saved by an older release; else it follows from the features'
    shape. Raises HeadError for a head that cannot be made so.
    """
    arguments, tokens = dict(arguments or {}), len(shape) == 2
    network = head_class(kind, arguments, tokens=tokens, code=code, is_made=True)
    try:
        head = network(shape, outputs, **arguments)
        scaling = scaling_shape or shape[-1:]
        standardized = Standardized(head, scaling, tokens=tokens and len(scaling) == 1, targets=targets)
        if kind not in (*HEADS, TUNED):
            _probe(standardized, shape, outputs)
    except Exception as error:  # whatever the user's class does when it is made
        with_arguments = f" with {arguments}" if arguments else ""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise HeadError(
            f"head '{kind}' cannot be made for features {list(shape)} and {outputs} "
            f"outputs{with_arguments}: {reason}"
        ) from error
    return standardized


def code_of_training(kind: str, *, allow_code: bool) -> OwnCode:
    """What a head that was just trained remembers of its class; nothing for a kind of enc's own."""
    if kind in (*HEADS, TUNED):
        return OwnCode()
    allowed = OwnCode(allow_code)
    return OwnCode(allow_code, class_hashes(kind, load_class(kind, allowed)))


@torch.inference_mode()
def _probe(network: Standardized, shape: tuple[int, ...], outputs: int) -> None:
    given = tuple(network.eval()(torch.ones(2, *shape)).shape)
    network.train()
    if given != (2, outputs):
        raise ValueError(f"it gives {list(given)} for two rows, not {[2, outputs]}")


def network_of(
    kind: str,
    weights: Mapping[str, np.ndarray],
    members: int,
    shape: tuple[int, ...],
    outputs: int,
    arguments: Mapping[str, Any],
    *,
    task: Task,
    code: OwnCode,
) -> Standardized | Ensemble:
    """The network of a head's weights, in evaluation mode; see :func:`make_head`, whose errors it raises.

    Raises RuntimeError where the weights do not fit the network.
    """
    scaling_shape = scaling_of(weights, members).shape
    networks = [
        make_head(
            kind,
            shape,
            outputs,
            arguments,
            scaling_shape=scaling_shape,
            targets=not task.has_classes,
            code=code,
        )
        for _ in range(members)
    ]
    network = Ensemble(networks, task) if members > 1 else networks[0]
    network.load_state_dict({name: torch.tensor(one) for name, one in weights.items()})
    for one in networks:
        one.skip_idle_scaling()
    return network.eval()


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Copies of a network's weights and buffers by their names in its state_dict; bfloat16 as float32."""
    tensors = {name: one.detach().cpu() for name, one in network.state_dict().items()}
    return {
        name: np.array((one.float() if one.dtype == torch.bfloat16 else one).contiguous().numpy())
        for name, one in tensors.items()
    }
