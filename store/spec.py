"""What makes two feature vectors comparable: the encoder setting and its digest."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

from .errors import SpecError
from .nearest import unknown
from .setting import DTYPES, LONG_TEXT, PADDING_SIDES, POOLINGS, PRECISIONS, TOKEN_LAYOUTS, Setting
from .spec_checks import require_layout, require_origin, require_windows
from .steps import width_after

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class FeatureSpec:
    """An encoder setting: everything that changes the numbers, and nothing else.

    Batch size, device and thread count are absent on purpose. A field added in a later release
    must have the old behaviour as its default: fields at their defaults are left out of the
    digest, so that stores written before stay valid.
    """

    model: str
    """Name or folder the encoder was loaded from; for people and for loading, not in the digest."""
    weights: str
    """SHA-256 of the configuration and weight files."""
    tokenizer: str
    """SHA-256 of the tokenizer files."""
    hidden_size: int
    """Width of one layer's hidden state."""
    layers: tuple[int, ...]
    """Encoder layers, 1 the first, in the order in which they are concatenated; 0 is what the embeddings
    give to layer 1."""
    pooling: tuple[str, ...]
    """Any of POOLINGS but tokens, in order of concatenation; or tokens alone."""
    max_length: int
    """Tokens kept of a text or pair, special tokens included."""
    prefix: str = ""
    """Put before every text (not before a pair's second text), as E5 models want."""
    dtype: str = "float16"
    """Stored element type, little-endian."""
    precision: str = "full"
    """``full``: fp32, bf16 or fp16, each checked to agree with fp32; or ``int8``: a quantized model.

    ``weights`` is then the digest of the quantized model.
    """
    long_text: str = "truncate"
    """What becomes of tokens past max_length: ``truncate`` drops them; ``windows`` encodes the text in
    windows of max_length and pools these, weighted by their tokens (``max``: their maximum)."""
    stride: int = 0
    """Tokens that neighbouring windows share."""
    first_characters: int = 0
    """Characters kept of a text before it is tokenized; 0: all."""
    special_tokens: bool = True
    """Whether [CLS] and [SEP], or what the model has in their place, are put around a text."""
    padding_side: str = "right"
    """``left``: padded on the left to max_length, and cut on the left."""
    attention_mask: bool = True
    """Whether padding is masked. If not, every text is padded to max_length, with token id 0."""
    after_pooling: tuple[str, ...] = ()
    """What becomes of the pooled vector, in order: see :mod:`store.steps`."""
    lowercase: bool = False
    """Whether texts are put in lower case before the model's own tokenizer reads them."""
    imported: str = ""
    """Model outside enc that made the vectors (:mod:`enc.store.imported`); empty where enc made them."""
    token_layout: str = "padded"
    """How features of tokens are stored: ``ragged`` rows have the tokens that there are, ``padded`` rows
    have max_length of them, the rest zeros. Sets of both layouts are kept apart, and never mixed."""

    def __post_init__(self) -> None:
        for name in ("layers", "pooling", "after_pooling"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for pooling in self.pooling:
            if pooling not in POOLINGS and not self.imported:
                raise SpecError(unknown("pooling", pooling, POOLINGS))
        if not self.pooling or len(set(self.pooling)) != len(self.pooling):
            raise SpecError(f"poolings must be named once each, got '{','.join(self.pooling)}'")
        if "tokens" in self.pooling and len(self.pooling) > 1:
            raise SpecError(
                "pooling 'tokens' cannot be combined with others: its shape differs; build two feature sets"
            )
        if not self.layers or len(set(self.layers)) != len(self.layers) or min(self.layers) < 0:
            raise SpecError(f"layers must be distinct numbers from 0 up, got {list(self.layers)}")
        known = (
            ("dtype", DTYPES),
            ("precision", PRECISIONS),
            ("long_text", LONG_TEXT),
            ("padding_side", PADDING_SIDES),
            ("token_layout", TOKEN_LAYOUTS),
        )
        for name, values in known:
            if getattr(self, name) not in values:
                raise SpecError(unknown(name, getattr(self, name), values))
        require_origin(self)
        require_windows(self)
        require_layout(self)
        if self.after_pooling and self.pooling == ("tokens",):
            raise SpecError("normalizing and linear layers follow a pooling; pooling 'tokens' has none")
        width_after(self.after_pooling, self.hidden_size)

    @property
    def is_ragged(self) -> bool:
        """Whether a row has the tokens that its text has, and no padding."""
        return self.token_layout == "ragged"

    @property
    def may_be_ragged(self) -> bool:
        """Whether padding says nothing, so that it need not be stored."""
        return self.pooling == ("tokens",) and self.padding_side == "right" and self.attention_mask

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of a shard's columns, the features last."""
        return ("key", "n_tokens", "truncated", *(["kept_tokens"] if self.is_ragged else []), "features")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row's features: ``[parts * hidden]``, or what the steps after pooling make of it; for
        tokens ``[max_length, layers * hidden]``, of which a ragged row has the first ones.
        """
        if self.pooling == ("tokens",):
            return (self.max_length, len(self.layers) * self.hidden_size)
        return (width_after(self.after_pooling, len(self.parts) * self.hidden_size),)

    @property
    def parts(self) -> tuple[tuple[int, str], ...]:
        """(layer, pooling) of each ``hidden``-wide slice of the last axis, in stored order.

        Where steps follow the pooling, it is the order of the slices before these steps.
        """
        return tuple((layer, pooling) for layer in self.layers for pooling in self.pooling)

    def select(
        self, layers: Sequence[int] | None = None, pooling: Sequence[str] | None = None
    ) -> "FeatureSpec":
        """The setting with only these of its layers and poolings, in the given order; None stands for all.

        Raises SpecError, naming what is not stored and what is, and for parts of a vector that was
        normalized or went through a linear layer as a whole.
        """
        wanted = {
            "layer": self.layers if layers is None else tuple(layers),
            "pooling": self.pooling if pooling is None else tuple(pooling),
        }
        for kind, stored in (("layer", self.layers), ("pooling", self.pooling)):
            absent = [part for part in wanted[kind] if part not in stored]
            if absent:
                raise SpecError(
                    f"{kind} {_show(tuple(absent))} is not among the stored features "
                    f"(they have {_show(tuple(stored))}); "
                    "choose from these, or build a feature set that has it"
                )
        if self.after_pooling and (wanted["layer"], wanted["pooling"]) != (self.layers, self.pooling):
            raise SpecError(
                "the stored features are whole vectors that were normalized or went through linear layers "
                f"({_show(self.after_pooling)}), and have no parts; build a feature set with --pooling "
                f"{_show(self.pooling)}"
            )
        return replace(self, layers=wanted["layer"], pooling=wanted["pooling"])

    def slices(self, use: "FeatureSpec") -> list[slice]:
        """Slices of the last axis of this setting's features; concatenated they are the features of ``use``.

        Neighbours are one slice. Raises SpecError if ``use`` is not a :meth:`select` of this setting.
        """
        differences = self.select(use.layers, use.pooling).differences(use.laid_out_as(self))
        if differences:
            raise SpecError(
                f"the setting asked for is not a part of the stored one ({'; '.join(differences)})"
            )
        if self.after_pooling:
            return [slice(0, self.shape[-1])]
        slices: list[slice] = []
        for part in use.parts:
            start = self.parts.index(part) * self.hidden_size
            if slices and slices[-1].stop == start:
                start = slices.pop().start
            slices.append(slice(start, (self.parts.index(part) + 1) * self.hidden_size))
        return slices

    @property
    def numpy_dtype(self) -> "np.dtype[Any]":
        """Stored element type, little-endian whatever the machine."""
        import numpy as np  # not above: a list of feature sets is shown without it

        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's features; of a ragged row, the most that it can have."""
        return math.prod(self.shape) * DTYPES[self.dtype]

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector: of a pooled row, or of one token."""
        return self.shape[-1] * DTYPES[self.dtype]

    @property
    def setting(self) -> Setting:
        """What ``load_encoder`` needs, beside the model, to make this setting again."""
        return cast("Setting", {name: getattr(self, name) for name in Setting.__annotations__})

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all fields but ``model`` that are not at their default."""
        identity = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "model" and (f.default is MISSING or getattr(self, f.name) != f.default)
        }
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def covers(self, other: "FeatureSpec") -> bool:
        """Whether the features of another setting are parts of this one's."""
        if self.after_pooling:
            return self.digest == other.digest
        return all(part in self.parts for part in other.parts) and not self.select(
            other.layers, other.pooling
        ).differences(other.laid_out_as(self))

    def laid_out_as(self, other: "FeatureSpec") -> "FeatureSpec":
        """The setting with the layout of tokens that another one has, where it can: the numbers are equal."""
        if self.token_layout == other.token_layout or (other.is_ragged and not self.may_be_ragged):
            return self
        return replace(self, token_layout=other.token_layout)

    def differences(self, other: "FeatureSpec") -> list[str]:
        """Fields in which two settings differ, as ``name: this, not other``; empty if the digests agree."""
        if self.digest == other.digest:
            return []
        pairs = (
            (f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.name != "model"
        )
        return [
            f"{name}: {_show(mine)}, not {_show(theirs)}" for name, mine, theirs in pairs if mine != theirs
        ]

    def to_json(self) -> str:
        """The setting with its digest, for people and for :meth:`from_json`."""
        return json.dumps({**asdict(self), "digest": self.digest}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "FeatureSpec":
        """Read :meth:`to_json`'s output. Raises SpecError for fields that this release does not know."""
        values: dict[str, Any] = json.loads(text)
        digest = values.pop("digest", None)
        unknown = sorted(values.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise SpecError(
                "the setting has fields that this release of enc does not know: "
                f"{', '.join(unknown)}; upgrade enc-features"
            )
        spec = cls(**values)
        if digest not in (None, spec.digest):
            raise SpecError("the setting does not match its own digest; the file was changed by hand")
        return spec


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_show, value)) or "none"
    text = str(value)
    if not text:
        return repr(value)
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)
