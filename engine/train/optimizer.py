"""AdamW and SGD with momentum, by torch's fused kernels.

The steps are those of ``torch.optim.AdamW`` and ``torch.optim.SGD`` with ``fused=True``, bit for bit. Those
classes load torch's compiler when the first of them is made, which takes as long as most of torch itself.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable

import torch

from ..heads.kinds import ENCODER
from ..heads.networks import Standardized
from .config import TrainConfig

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # torch's own for AdamW
_MAX_NORM = 1.0  # Trainer's own
_Tensors = list[torch.Tensor]


class Optimizer(ABC):
    """Changes parameters by their gradients."""

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float):
        self.parameters, self._weight_decay = list(parameters), weight_decay

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Take a step along the gradients, and forget them. A parameter without a gradient stays."""
        by_dtype: dict[torch.dtype, _Tensors] = defaultdict(list)  # a kernel takes one dtype at a time
        for parameter in self.parameters:
            if parameter.grad is not None:
                by_dtype[parameter.dtype].append(parameter)
        for chosen in by_dtype.values():
            self._update(chosen, [one.grad for one in chosen if one.grad is not None], learning_rate)
            for parameter in chosen:
                parameter.grad = None

    @abstractmethod
    def _update(self, parameters: _Tensors, gradients: _Tensors, learning_rate: float) -> None: ...


class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float):
        super().__init__(parameters, weight_decay)
        self._means = {one: torch.zeros_like(one) for one in self.parameters}
        self._squares = {one: torch.zeros_like(one) for one in self.parameters}
        self._steps = {one: torch.zeros(()) for one in self.parameters}

    def _update(self, parameters: _Tensors, gradients: _Tensors, learning_rate: float) -> None:
        steps = [self._steps[one] for one in parameters]
        torch._foreach_add_(steps, 1)  # type: ignore[attr-defined]
        torch._fused_adamw_(  # type: ignore[attr-defined]
            parameters,
            gradients,
            [self._means[one] for one in parameters],
            [self._squares[one] for one in parameters],
            [],
            steps,
            lr=learning_rate,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=self._weight_decay,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )


class SGD(Optimizer):
    """Gradient descent with momentum."""

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float, momentum: float):
        super().__init__(parameters, weight_decay)
        self._momentum = momentum
        self._velocity: dict[torch.Tensor, torch.Tensor] = {}

    def _update(self, parameters: _Tensors, gradients: _Tensors, learning_rate: float) -> None:
        first, later = [], []
        for parameter, gradient in zip(parameters, gradients, strict=True):
            (later if parameter in self._velocity else first).append((parameter, gradient))
        for pairs in (first, later):
            if not pairs:
                continue
            if pairs is first:  # a parameter's first step makes the gradient its velocity
                self._velocity |= {one: torch.empty_like(one) for one, _ in pairs}
            torch._fused_sgd_(  # type: ignore[attr-defined]
                [one for one, _ in pairs],
                [gradient for _, gradient in pairs],
                [self._velocity[one] for one, _ in pairs] if self._momentum else [],
                weight_decay=self._weight_decay,
                momentum=self._momentum,
                lr=learning_rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=pairs is first and self._momentum > 0,
            )


class LayeredAdamW:
    """AdamW as transformers' Trainer has it: learning rates by layer, and gradients of a norm up to 1."""

    def __init__(self, groups: Iterable[tuple[list[torch.nn.Parameter], float, bool]], weight_decay: float):
        """``groups`` are parameters, what their learning rate is multiplied by, and whether they decay."""
        self._groups = [
            (AdamW(parameters, weight_decay if decays else 0.0), factor)
            for parameters, factor, decays in groups
        ]
        self._parameters = [one for optimizer, _ in self._groups for one in optimizer.parameters]

    def step(self, learning_rate: float) -> None:
        """See :meth:`Optimizer.step`."""
        torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_NORM)
        for optimizer, factor in self._groups:
            optimizer.step(learning_rate * factor)


def make_optimizer(network: Standardized, config: TrainConfig) -> Optimizer | LayeredAdamW:
    """The optimizer of a network's parameters that a configuration asks for."""
    if config.head == ENCODER:
        return LayeredAdamW(network.head.parameter_groups(), config.weight_decay)  # type: ignore[operator]
    if config.optimizer == "sgd":
        return SGD(network.parameters(), config.weight_decay, config.momentum)
    return AdamW(network.parameters(), config.weight_decay)
