"""Several heads of one shape as one: parameters stacked on a first axis, and optimizers for the stack."""

import copy
from collections.abc import Sequence

import torch
from torch.func import functional_call, vmap

from ..heads.by_length import goes_by_length
from ..heads.dropout import Dropout, key_of
from ..heads.networks import CNN, MLP, Attention, Linear, Standardized, token_mask

State = dict[str, torch.Tensor]
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # torch's own for AdamW
_FUSED_NUMBERS = 4096  # of a head's parameter, from which on torch's kernel pays, head by head


class StackedHeads:
    """Networks that differ in their values alone, and run together.

    ``state`` holds the parameters that are trained, [heads, …] by name. Frozen parameters and buffers
    are held beside it; those that all heads have alike, such as the scaling, once, so that what is made
    of them and of the features is computed once for all heads. The networks themselves stay as they are.
    """

    def __init__(self, networks: Sequence[Standardized]):
        self._base = copy.deepcopy(networks[0])
        self._dropouts: list[str] = []
        for name, module in self._base.named_modules():
            if isinstance(module, Dropout):
                module.is_keyed = True
                self._dropouts.append(f"{name}.key")
        self.is_stacked = True
        """Whether the heads are computed as one, or else one after the other; only rounding tells."""
        trained = [name for name, parameter in self._base.named_parameters() if parameter.requires_grad]
        values = [{**dict(one.named_parameters()), **dict(one.named_buffers())} for one in networks]
        self.state: State = {
            name: torch.stack([one[name].detach() for one in values]).requires_grad_() for name in trained
        }
        self._shared: State = {}
        self._own: State = {}
        for name in values[0].keys() - self.state.keys():
            fixed = [one[name].detach() for one in values]
            if name not in self._dropouts and all(torch.equal(value, fixed[0]) for value in fixed):
                self._shared[name] = fixed[0]
            else:
                self._own[name] = torch.stack(fixed)
        self._is_linear = type(self._base.head) is Linear

    def train(self, mode: bool) -> None:
        """Switch between training and evaluation."""
        self._base.train(mode)

    def logits(self, features: torch.Tensor, state: State | None = None) -> torch.Tensor:
        """Logits [heads, outputs, rows] of features float32 [rows, *shape], by ``state`` or the own one.

        Dropout is each head's own, by :meth:`drop`.
        """
        state = self.state if state is None else state
        if self._is_linear:
            return self._linear(features, state)
        return (
            self._vmapped(features, state) if self.is_stacked else self._one_after_the_other(features, state)
        )

    def drop(self, seeds: Sequence[int], step: int) -> None:
        """Let dropout in training be that of a step, of heads with these seeds."""
        for layer, name in enumerate(self._dropouts):
            keys = [key_of(seed, step, layer) for seed in seeds]
            self._own[name] = torch.tensor(keys, dtype=torch.int32)

    @property
    def can_follow(self) -> bool:
        """Whether the heads can be computed one after the other, and come out the same but for rounding.

        Of linear heads, which are one product, nothing would be gained. Heads of one's own may draw numbers
        of torch's generator, which would be other ones.
        """
        return type(self._base.head) in (MLP, CNN, Attention)

    def _one_after_the_other(self, features: torch.Tensor, state: State) -> torch.Tensor:
        parts = [{name: value.unbind() for name, value in group.items()} for group in (state, self._own)]
        heads = len(next(iter(state.values())))
        each = [
            {name: value[head] for part in parts for name, value in part.items()} for head in range(heads)
        ]
        found = [functional_call(self._base, {**self._shared, **one}, (features,)) for one in each]
        return torch.stack(found).transpose(1, 2)

    def _vmapped(self, features: torch.Tensor, state: State) -> torch.Tensor:
        def one(trained: State, own: State) -> torch.Tensor:
            return functional_call(self._base, {**self._shared, **own, **trained}, (features,))

        return vmap(one, randomness="different")(state, self._own).transpose(1, 2)

    def _linear(self, features: torch.Tensor, state: State) -> torch.Tensor:
        """All linear heads in one product, the scale folded into their weights.

        The mean is not: of a feature far from 0 beside its spread, the product would keep little in float32.
        """
        base, weights, bias = self._base, state["head.fc1.weight"], state["head.fc1.bias"]
        centred = features - base.mean
        if base.tokens:
            centred = centred * token_mask(features).unsqueeze(-1)
        scaled = (weights.view(*bias.shape, *features.shape[1:]) * base.scale).view(bias.numel(), -1)
        logits = torch.addmm(bias.view(-1, 1), scaled, centred.flatten(1).T).view(*bias.shape, -1)
        return logits * base.target_scale + base.target_mean if base.targets else logits


@torch.no_grad()
def unstacked(network: Standardized, state: State, number: int) -> Standardized:
    """A network with the trained parameters of one head of a stack."""
    for name, parameter in network.named_parameters():
        if name in state:
            parameter.copy_(state[name][number])
    return network.eval()


def stacking_problem(network: Standardized, shape: tuple[int, ...], *, folds: bool) -> str:
    """Why heads like this one cannot be trained as a stack on features [rows, *shape]; empty if they can.

    With ``folds`` every head is shown the rows that it holds out, too, and their losses are left out.
    """
    if goes_by_length(network):
        return "its rows go by their length"
    try:
        if len(list(network.named_modules(remove_duplicate=False))) > len(list(network.modules())):
            return "it has a module under two names"  # which functional_call does not put back as it was
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            probe, features = copy.deepcopy(network).train(), torch.randn(4, *shape).requires_grad_()
            before = {name: value.clone() for name, value in probe.named_buffers()}
            probe(features)[0].sum().backward()
            for name, value in probe.named_buffers():
                if not torch.equal(value, before[name]):
                    return f"its buffer '{name.removeprefix('head.')}' changes in training"
            if folds and features.grad is not None and features.grad[1:].any():
                return "it mixes the rows of a batch, and would learn from those it holds out"
            stack = StackedHeads([probe, probe])
            for mode in (True, False):
                stack.train(mode)
                stack.logits(features.detach()).sum().backward()
    except Exception as error:  # whatever a head does that vmap has no rule for
        return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")[:160]
    return ""


def activation_bytes(network: Standardized, shape: tuple[int, ...]) -> int:
    """What one head of a stack keeps of one row until the backward pass, in bytes.

    That is what grows with heads and rows both; the features and the weights are not among it.
    """

    def kept(heads: int, rows: int) -> int:
        sizes: dict[int, int] = {}  # by address: a tensor may be kept for two operations

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with (
            torch.random.fork_rng(devices=[]),
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        ):
            StackedHeads([network] * heads).logits(torch.ones(rows, *shape))
        return sum(sizes.values())

    return max(0, kept(3, 3) - kept(3, 2) - kept(2, 3) + kept(2, 2))


class StackedOptimizer:
    """SGD with momentum, or AdamW, on stacked parameters: torch's arithmetic, with each head's settings."""

    def __init__(
        self,
        state: State,
        kind: str,
        *,
        learning_rate: torch.Tensor,
        weight_decay: torch.Tensor,
        momentum: torch.Tensor,
    ):
        self._state, self._adam = state, kind == "adamw"
        self._rate, self._decay, self._momentum = learning_rate, weight_decay, momentum
        self._first = {name: torch.zeros_like(value) for name, value in state.items()}
        self._second = {name: torch.zeros_like(value) for name, value in state.items()} if self._adam else {}
        self._steps = dict.fromkeys(state, 0)
        settings = torch.stack([learning_rate, weight_decay, momentum])
        self._are_alike = bool((settings == settings[:, :1]).all())

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Take the gradients' step at ``factor`` times the learning rates, and forget the gradients.

        A parameter without a gradient stays as it is, undecayed.
        """
        for name, value in self._state.items():
            if value.grad is None:
                continue
            self._steps[name] += 1
            if self._adam and (self._are_alike or value[0].numel() >= _FUSED_NUMBERS):
                self._fused_adam(name, factor)
                continue
            shape = (-1, *[1] * (value.dim() - 1))
            rate, decay = (self._rate * factor).view(shape), self._decay.view(shape)
            first = self._first[name]
            if self._adam:
                second, steps, (beta1, beta2) = self._second[name], self._steps[name], _BETAS
                first.lerp_(value.grad, 1 - beta1)
                second.mul_(beta2).addcmul_(value.grad, value.grad, value=1 - beta2)
                root = (second / (1 - beta2**steps)).sqrt_().add_(_EPSILON)
                value.mul_(1 - rate * decay).sub_(rate / (1 - beta1**steps) * first / root)
            else:
                first.mul_(self._momentum.view(shape)).add_(value.grad).add_(decay * value)
                value.sub_(rate * first)
            value.grad = None

    def _fused_adam(self, name: str, factor: float) -> None:
        """A step of torch's kernel, which goes through memory once; for each head, where settings differ."""
        value, first, second = self._state[name], self._first[name], self._second[name]
        assert value.grad is not None
        gradient, steps = value.grad, torch.tensor(float(self._steps[name]))
        heads = [slice(None)] if self._are_alike else range(len(value))
        for number, head in enumerate(heads):
            torch._fused_adamw_(  # type: ignore[attr-defined]
                [value[head]],
                [gradient[head]],
                [first[head]],
                [second[head]],
                [],
                [steps],
                lr=float(self._rate[number]) * factor,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=float(self._decay[number]),
                eps=_EPSILON,
                amsgrad=False,
                maximize=False,
            )
        value.grad = None
