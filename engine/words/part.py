"""What a head has beside its network: words, and how their logits join the network's."""

from dataclasses import dataclass

import numpy as np

from .joining import Joining
from .model import WordModel
from .texts import Texts


@dataclass(frozen=True)
class WordPart:
    """A linear model on words, and how its logits join those of a head."""

    model: WordModel
    joining: Joining

    @property
    def outputs(self) -> int:
        """Outputs of the head."""
        return len(self.model.bias)

    def joined(self, logits: np.ndarray, texts: Texts) -> np.ndarray:
        """Logits float32 [rows, outputs] of a head's logits for the same rows, and their words."""
        return self.joining.joined(logits, self.model.logits(texts))
