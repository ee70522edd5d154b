"""A trained head: what it needs to turn features into labels, on disk and in memory."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ...store import FeatureSpec, HeadError, SpecError
from ..pairs.combination import Combination
from ..words.part import WordPart
from ..words.texts import Texts
from .dense import DenseHead, dense_members, mean_outputs, scaling_of
from .float_values import block_rows
from .folders import head_folder
from .labels import Labels
from .own_code import OwnCode
from .saved import damage_told, read_fields, write_head
from .tasks import SINGLE_LABEL, Task

if TYPE_CHECKING:
    from torch import Tensor

    from .ensemble import Ensemble
    from .networks import Standardized

_ROWS_PER_BLOCK = 8192
_SHOWN_CLASSES = 20
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Head:
    """A trained head with its labels and the setting of the features it takes.

    >>> head = Head.load("heads/reviews")
    >>> head.predict(features)  # the labels as they were given in training
    """

    kind: str
    """One of :data:`engine.heads.kinds.HEADS`, ``fine-tuned``, or ``module:Class``."""
    labels: Labels
    spec: FeatureSpec
    """Setting of the features that the network takes; of the parts alone, where training used parts."""
    weights: Mapping[str, np.ndarray]
    """By their names in the state_dict of :attr:`network`."""
    feature_set: str
    text_column: str
    pair_column: str | None = None
    combination: Combination | None = None
    """Of pairs whose texts are encoded apart: what the network takes is made of both texts' features."""
    task: Task = SINGLE_LABEL
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the head's class."""
    members: int = 1
    """With more than one, the head is an ensemble of so many."""
    words: WordPart | None = None
    """A linear model on the words of the texts, whose logits join those of the network."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Figures on the validation rows, None where undefined; ``confusion_matrix`` is nested lists."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row an epoch: epoch, train and validation loss and metric, learning rate, seconds."""
    record: dict[str, Any] = field(default_factory=dict)
    """How it came about: configuration, sources, versions, Delta version; not needed to use it."""
    code: OwnCode = field(default_factory=OwnCode)
    """Of a ``module:Class``: whether it may be imported, and from what."""

    @classmethod
    def of_network(cls, network: "Standardized | Ensemble", **fields: Any) -> "Head":
        """A head with a network that was trained; ``fields`` are all others but the weights."""
        from .making import weights_of

        head = cls(weights=weights_of(network), **fields)
        head.__dict__["network"] = network
        return head

    @cached_property
    def network(self) -> "Standardized | Ensemble":
        """The head as a torch module, in evaluation mode. Raises HeadError where it cannot be made."""
        from .making import network_of

        return network_of(
            self.kind,
            self.weights,
            self.members,
            self.shape,
            self.outputs_count,
            self.arguments,
            task=self.task,
            code=self.code,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what the network takes of a row."""
        return self.spec.shape if self.combination is None else (self.combination.width(self.spec),)

    @property
    def outputs_count(self) -> int:
        """Labels, or 1 of a regression."""
        return len(self.labels) or 1

    @cached_property
    def _dense(self) -> list[DenseHead] | None:
        """The members as NumPy does them; None for a head of more than dense layers."""
        return dense_members(
            self.kind, self.weights, self.members, self.shape, self.outputs_count, self.arguments
        )

    @property
    def is_dense(self) -> bool:
        """Whether it is made of dense layers alone, which need no torch."""
        return self._dense is not None

    def outputs(self, features: np.ndarray, texts: Texts | None = None) -> np.ndarray:
        """Of features [rows, *shape], float32: probabilities [rows, labels], or a regression's values
        [rows, 1].

        ``texts`` are those of the rows, for a head with words. Raises HeadError for features of another
        shape, or of which the head makes no finite numbers, and where a head with words gets no texts.
        """
        if self.words is None:
            return self._without_words(features)
        if texts is None or len(texts) != len(features):
            given = "none" if texts is None else f"{len(texts)}"
            raise HeadError(
                f"the head was trained with words: it takes the texts of {len(features)} rows beside their "
                f"features, and was given {given}; or call it as head.replace(words=None)"
            )
        logits = self.task.logits(self._without_words(features))
        return self.task.activation(self.words.joined(logits, texts))

    def _without_words(self, features: np.ndarray) -> np.ndarray:
        if features.shape[1:] != self.shape:
            raise HeadError(
                f"features have shape {list(features.shape[1:])}, the head takes {list(self.shape)}"
            )
        if not len(features):
            return np.empty((0, self.outputs_count), np.float32)
        members = self._dense
        if members is None:
            found = self._outputs_by_network(features)
        else:
            found = mean_outputs(members, features, self.task.activation)
        if not np.isfinite(found).all():
            raise HeadError("the features hold a value that is not finite; encode their texts again")
        return found

    @property
    def block_rows(self) -> int:
        """How many rows :meth:`outputs` takes at a time, which its last bits may depend on."""
        return rows_per_block(self.shape) if self._dense is None else block_rows(self.shape)

    def _outputs_by_network(self, features: np.ndarray) -> np.ndarray:
        import torch

        from .by_length import computed_by_length, goes_by_length, token_counts

        if goes_by_length(self.network):
            logits = computed_by_length(self.network, lambda rows: features[rows], token_counts(features))
            return self.task.torch.activation(logits).numpy()

        def outputs(block: np.ndarray) -> "Tensor":
            return self.task.torch.activation(self.network(torch.from_numpy(block).float()))

        step = rows_per_block(self.shape)
        with torch.inference_mode():
            blocks = [
                outputs(features[start : start + step]).numpy() for start in range(0, len(features), step)
            ]
        return np.concatenate(blocks)

    def predict_proba(self, features: np.ndarray, texts: Texts | None = None) -> np.ndarray:
        """Probabilities of the labels, float32 [rows, labels]; see :meth:`outputs`."""
        if not self.task.has_classes:
            raise HeadError("a regression has no probabilities; call predict for its values")
        return self.outputs(features, texts)

    def predict(self, features: np.ndarray, texts: Texts | None = None) -> list[Any]:
        """The most probable label of each row; a list for several labels, a number for a regression."""
        return self.decided(self.outputs(features, texts)).to_pylist()

    def decided(self, outputs: np.ndarray) -> pa.Array:
        """Predictions from :meth:`outputs`: labels, lists of labels, or float32."""
        return self.named(self.task.decide(outputs))

    def named(self, decisions: np.ndarray) -> pa.Array:
        """Decisions, in the form of the task's targets, as :meth:`decided` gives them; null for class -1."""
        return self.labels.named(decisions)

    def require(self, spec: FeatureSpec) -> None:
        """Raise SpecError, naming every field that differs, unless features of a setting are what the head
        takes.
        """
        differences = spec.differences(self.spec.laid_out_as(spec))
        if differences:
            raise SpecError(
                f"the features are not of the setting the head was trained on ({'; '.join(differences)})"
            )

    def save(self, folder: str | Path, tables: Mapping[str, pa.Table] | None = None) -> Path:
        """Write head.safetensors, head.json, metrics.json and history.parquet; an older head there is
        replaced whole.

        ``folder`` may be a URL. ``tables`` are written beside them, as Parquet, by name.

        Raises HeadError where the folder holds anything else.
        """
        from ...store.places import folder_to_write

        with folder_to_write(folder, "head.json") as written:
            write_head(self, written, tables or {})
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, *, allow_code: bool = False) -> "Head":
        """Read a saved head. Raises HeadError if it is not one.

        The class of a ``module:Class`` head is imported only with ``allow_code``, from where Python finds it
        (never from the folder), and only if its source file is the one of the training. ``folder`` may be a
        URL of an object store, or ``hf://OWNER/REPO@REVISION``.
        """
        folder = head_folder(folder).folder
        with damage_told(folder):
            head = cls(**read_fields(folder, allow_code=allow_code))
            head._require_usable()
        return head

    def _require_usable(self) -> None:
        """Raise ValueError, KeyError, RuntimeError or HeadError where the parts do not fit each other."""
        for name, one in self.weights.items():
            if one.dtype.kind == "f" and not np.isfinite(one).all():
                raise ValueError(f"its weights {name} are not finite")
        scaling_shape = scaling_of(self.weights, self.members).shape
        if scaling_shape not in (self.shape, self.shape[-1:]):
            raise ValueError(f"its scaling has shape {list(scaling_shape)}")
        if self.combination is not None and not self.pair_column:
            raise ValueError("it combines two texts, and names no column of the second one")
        if self.task.has_classes != bool(len(self.labels)):
            raise ValueError(f"it has {len(self.labels)} labels")
        if self._dense is None:
            _ = self.network

    def __repr__(self) -> str:
        figure = self.metrics.get(self.task.metric)
        reached = f", {self.task.metric} {figure:.4f}" if isinstance(figure, float) else ""
        count = f", {len(self.labels)} labels" if len(self.labels) else ""
        return f"Head({self.kind}, {self.task.name}{count}, on {self.feature_set}{reached})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ...pages.notebook import piece

        figures = {name: value for name, value in self.metrics.items() if not isinstance(value, list)}
        matrix = self.metrics.get("confusion_matrix") or []
        names = [str(label) for label in self.labels.values]
        if len(matrix) != len(names) or len(names) > _SHOWN_CLASSES:  # of several labels it is another one
            return piece(repr(self), figures)
        rows = [[name, *row] for name, row in zip(names, matrix, strict=True)]
        return piece(repr(self), figures, ["true \\ predicted", *names], rows)

    def replace(self, **changes: Any) -> "Head":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def rows_per_block(shape: tuple[int, ...]) -> int:
    """How many rows of this shape go through a head at a time where no gradients are wanted."""
    return max(1, min(_ROWS_PER_BLOCK, _BLOCK_BYTES // (4 * math.prod(shape))))
