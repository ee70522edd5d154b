"""The kinds of heads that come with enc, by name; their classes are looked up when a head is made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class HeadKind:
    """A kind of head that comes with enc."""

    class_name: str
    """Name of its class in :mod:`engine.heads.networks`."""
    needs_tokens: bool = False
    """Whether it reads token features only; the others flatten them."""

    @property
    def network(self) -> "type[nn.Module]":
        """The class. The names of the kinds are needed before torch is loaded, the classes are not."""
        from . import networks

        return getattr(networks, self.class_name)


HEADS = {
    "linear": HeadKind("Linear"),
    "mlp": HeadKind("MLP"),
    "cnn": HeadKind("CNN", needs_tokens=True),
    "lstm": HeadKind("LSTM", needs_tokens=True),
    "attention": HeadKind("Attention", needs_tokens=True),
}
"""Head kinds that are trained, by name; any other is ``module:Class``, see :mod:`engine.heads.custom`."""
TUNED = "fine-tuned"
"""The kind of a fine-tuned model's own head, :class:`engine.heads.networks.SequenceHead`."""
