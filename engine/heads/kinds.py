"""The kinds of heads that come with enc, by name; their classes are looked up when a head is made."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class HeadKind:
    """A kind of head that comes with enc."""

    class_name: str
    """Name of its class."""
    needs_tokens: bool = False
    """Whether it reads token features only; the others flatten them."""
    module: str = "networks"
    """Where its class is, in :mod:`engine.heads`."""
    added: tuple[str, ...] = ()
    """Arguments of its class that training adds, and no user gives."""

    @property
    def network(self) -> "type[nn.Module]":
        """The class. The names of the kinds are needed before torch is loaded, the classes are not."""
        return getattr(import_module(f".{self.module}", __package__), self.class_name)


HEADS = {
    "linear": HeadKind("Linear"),
    "mlp": HeadKind("MLP"),
    "cnn": HeadKind("CNN", needs_tokens=True),
    "lstm": HeadKind("LSTM", needs_tokens=True),
    "attention": HeadKind("Attention", needs_tokens=True),
    "encoder": HeadKind("EncoderHead", needs_tokens=True, module="upper", added=("config", "first")),
}
"""Head kinds that are trained, by name; any other is ``module:Class``, see :mod:`engine.heads.custom`."""
ENCODER = "encoder"
"""The kind that is upper layers of the encoder itself, :class:`engine.heads.upper.EncoderHead`."""
TUNED = "fine-tuned"
"""The kind of a fine-tuned model's own head, :class:`engine.heads.networks.SequenceHead`."""
