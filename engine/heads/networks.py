"""The networks that are trained on features.

Every head is constructed with the shape of one row's features and the number of outputs. Heads over
tokens take features [rows, max_length, hidden] and a mask [rows, max_length], True at tokens; no
value at padding may reach their logits. Nothing in them branches on data or writes in place (but for
the LSTM, which packs), so that ``torch.func`` can run many of them at once.
"""

import inspect
import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import linear, pad
from torch.nn.utils.rnn import pack_padded_sequence

from .dropout import Dropout

_FEW_OUTPUTS = 4  # to here, the wider side of a product goes first


class Linear(nn.Module):
    """Logits as a linear function of all features: [rows, *shape] -> [rows, outputs].

    Token features [rows, max_length, hidden] are flattened, each position with weights of its own.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int):
        super().__init__()
        self.fc1 = nn.Linear(math.prod(shape), outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        return self.fc1(features.flatten(1))

    def of_scaled(self, features: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Logits of ``(features - mean) * scale``, both of a row's shape: a few weights are scaled in place
        of every row.
        """
        weight = self.fc1.weight * scale.flatten()
        return linear_of_few_outputs(features.flatten(1), weight, self.fc1.bias - weight @ mean.flatten())


def linear_of_few_outputs(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """torch's ``linear`` [rows, outputs], for a few outputs in the order of the product that matrix libraries
    are faster at.
    """
    if len(weight) > _FEW_OUTPUTS:
        return linear(features, weight, bias)
    return (weight @ features.T + bias.unsqueeze(1)).T


class MLP(nn.Module):
    """Hidden layers with ReLU and dropout before a linear one: [rows, *shape] -> [rows, outputs].

    Token features are flattened.
    """

    def __init__(
        self, shape: tuple[int, ...], outputs: int, hidden: int | Sequence[int] = 256, dropout: float = 0.1
    ):
        super().__init__()
        widths = [math.prod(shape), *([hidden] if isinstance(hidden, int) else hidden)]
        layers: list[nn.Module] = []
        for inputs, width in pairwise(widths):
            layers += [nn.Linear(inputs, width), nn.ReLU(), Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        return self.layers(features.flatten(1))


class CNN(nn.Module):
    """Convolutions over tokens, each channel's maximum over the text: [rows, max_length, hidden] -> [rows,
    outputs].

    Kim, Convolutional Neural Networks for Sentence Classification, https://arxiv.org/abs/1408.5882
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        channels: int = 100,
        kernel_sizes: int | Sequence[int] = (3, 4, 5),
        dropout: float = 0.1,
    ):
        super().__init__()
        self.kernel_sizes = (kernel_sizes,) if isinstance(kernel_sizes, int) else tuple(kernel_sizes)
        self.convolutions = nn.ModuleList(nn.Conv1d(shape[-1], channels, size) for size in self.kernel_sizes)
        self.dropout = Dropout(dropout)
        self.fc1 = nn.Linear(channels * len(self.kernel_sizes), outputs)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        channels_first, keep = features.transpose(1, 2), mask.unsqueeze(1).to(features.dtype)
        maxima = []
        for size, convolution in zip(self.kernel_sizes, self.convolutions, strict=True):
            windows = convolution(pad(channels_first, ((size - 1) // 2, size // 2)))
            # ReLU leaves nothing below 0, so that a window centred on padding, set to 0, never is the
            # maximum.
            maxima.append((torch.relu(windows) * keep).amax(-1))
        return self.fc1(self.dropout(torch.cat(maxima, 1)))


class LSTM(nn.Module):
    """Both directions' last states over the tokens: [rows, max_length, hidden] -> [rows, outputs].

    Texts are packed, so that the backward direction begins at the last token and not in the padding.
    """

    def __init__(
        self, shape: tuple[int, ...], outputs: int, hidden: int = 128, layers: int = 1, dropout: float = 0.1
    ):
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(shape[-1], hidden, layers, batch_first=True, bidirectional=True, dropout=between)
        self.dropout = Dropout(dropout)
        self.fc1 = nn.Linear(2 * hidden, outputs)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        positions = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        lengths = (mask * positions).amax(1).clamp(min=1).cpu()
        start = features.new_zeros(
            2 * self.lstm.num_layers, features.shape[0], self.lstm.hidden_size
        )  # ONNX export wants it named
        packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed, (start, start))
        return self.fc1(self.dropout(torch.cat([last[-2], last[-1]], 1)))


class Attention(nn.Module):
    """Means of the tokens under learned weights: [rows, max_length, hidden] -> [rows, outputs].

    A token's weight is the softmax over the text of ``v · tanh(W x)``; each of ``heads`` has its own v.
    Lin et al., A Structured Self-attentive Sentence Embedding, https://arxiv.org/abs/1703.03130
    """

    def __init__(
        self, shape: tuple[int, ...], outputs: int, hidden: int = 128, heads: int = 1, dropout: float = 0.1
    ):
        super().__init__()
        self.project = nn.Linear(shape[-1], hidden)
        self.score = nn.Linear(hidden, heads, bias=False)
        self.dropout = Dropout(dropout)
        self.fc1 = nn.Linear(heads * shape[-1], outputs)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        scores = self.score(torch.tanh(self.project(features)))
        lowest = torch.finfo(
            scores.dtype
        ).min  # not -inf, whose softmax over a text without tokens is no number
        weights = torch.softmax(scores.masked_fill(~mask.unsqueeze(-1), lowest), 1)
        pooled = weights.transpose(1, 2) @ features
        return self.fc1(self.dropout(pooled.flatten(1)))


_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class SequenceHead(nn.Module):
    """A fine-tuned model's head: features of the first token [rows, hidden] to logits [rows, outputs].

    It is a dense layer, an activation and a classifier, without the dropout of training.
    """

    def __init__(self, shape: tuple[int, ...], outputs: int, activation: str):
        super().__init__()
        self.dense = nn.Linear(shape[-1], shape[-1])
        self.activation = _ACTIVATIONS[activation]()
        self.classifier = nn.Linear(shape[-1], outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [rows, outputs]."""
        return self.classifier(self.activation(self.dense(features)))


class Standardized(nn.Module):
    """A head behind fixed scaling of its inputs, ``(x - mean) * scale``.

    BERT's dimensions differ in spread by orders of magnitude, and some sentence encoders share a
    large common vector; gradient descent converges far sooner without either. Pooled features have
    a mean and scale of their shape; token features of their last axis, and padding, which is stored
    as zeros, stays zero and is what the mask leaves out. With ``targets`` the outputs are
    scaled, too, ``y * target_scale + target_mean``: a regression answers in the target's units.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    target_mean: torch.Tensor
    target_scale: torch.Tensor

    def __init__(
        self, head: nn.Module, scaling_shape: tuple[int, ...], *, tokens: bool, targets: bool = False
    ):
        super().__init__()
        self.head, self.tokens, self.targets = head, tokens, targets
        self._scales = True
        self.takes_mask = tokens and "mask" in inspect.signature(head.forward).parameters
        self.register_buffer("mean", torch.zeros(scaling_shape))
        self.register_buffer("scale", torch.ones(scaling_shape))
        if targets:
            self.register_buffer("target_mean", torch.zeros(()))
            self.register_buffer("target_scale", torch.ones(()))

    def forward(self, features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The head's logits [rows, outputs] for features [rows, *shape] as they are stored, in float32.

        ``mask`` is True at tokens, bool [rows, length]; of token features as they are stored it is found.
        """
        if self.tokens and mask is None and (self._scales or self.takes_mask):
            mask = token_mask(features)
        if not self._scales:
            logits = self.head(features, mask=mask) if self.takes_mask else self.head(features)
        elif self.tokens:
            assert mask is not None
            scaled = (features - self.mean) * self.scale * mask.unsqueeze(-1)
            logits = self.head(scaled, mask=mask) if self.takes_mask else self.head(scaled)
        elif isinstance(self.head, Linear):
            logits = self.head.of_scaled(features, self.mean, self.scale)
        else:
            logits = self.head((features - self.mean) * self.scale)
        return logits * self.target_scale + self.target_mean if self.targets else logits

    def skip_idle_scaling(self) -> None:
        """Leave the scaling out from now on, if it does nothing: a pass over token features costs more than
        many a head.
        """
        self._scales = bool((self.mean != 0).any() or (self.scale != 1).any())

    @property
    def parameters_count(self) -> int:
        """Numbers that training fits."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def token_mask(features: torch.Tensor) -> torch.Tensor:
    """True at tokens, bool [rows, max_length], of token features [rows, max_length, hidden]: padding is
    stored as zeros.
    """
    return (features != 0).any(-1)
