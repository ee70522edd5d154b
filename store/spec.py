"""What makes two feature vectors comparable: the encoder setting and its digest."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from .errors import SpecError

POOLINGS = ("cls", "mean", "max", "tokens")
DTYPES = ("float16", "float32")


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
    """Encoder layers, 1 the first, in the order in which they are concatenated."""
    pooling: tuple[str, ...]
    """Any of cls, mean and max, in order of concatenation; or tokens alone."""
    max_length: int
    """Tokens kept of a text or pair, special tokens included."""
    prefix: str = ""
    """Put before every text (not before a pair's second text), as E5 models want."""
    dtype: str = "float16"
    """Stored element type, little-endian."""

    def __post_init__(self) -> None:
        for name in ("layers", "pooling"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for pooling in self.pooling:
            if pooling not in POOLINGS:
                raise SpecError(f"unknown pooling '{pooling}'; there are {', '.join(POOLINGS)}")
        if not self.pooling or len(set(self.pooling)) != len(self.pooling):
            raise SpecError(f"poolings must be named once each, got '{','.join(self.pooling)}'")
        if "tokens" in self.pooling and len(self.pooling) > 1:
            raise SpecError("pooling 'tokens' cannot be combined with others: its shape differs; build two feature sets")
        if not self.layers or len(set(self.layers)) != len(self.layers) or min(self.layers) < 1:
            raise SpecError(f"layers must be distinct numbers from 1 up, got {list(self.layers)}")
        if self.dtype not in DTYPES:
            raise SpecError(f"unknown dtype '{self.dtype}'; there are {', '.join(DTYPES)}")
        if self.max_length < 3:
            raise SpecError(f"max_length is {self.max_length}; it must leave room for special tokens and text")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row's features: ``[parts * hidden]``, or ``[max_length, layers * hidden]`` for tokens."""
        if self.pooling == ("tokens",):
            return (self.max_length, len(self.layers) * self.hidden_size)
        return (len(self.parts) * self.hidden_size,)

    @property
    def parts(self) -> tuple[tuple[int, str], ...]:
        """(layer, pooling) of each ``hidden``-wide slice of the last axis, in stored order."""
        return tuple((layer, pooling) for layer in self.layers for pooling in self.pooling)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Stored element type, little-endian whatever the machine."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's features."""
        return int(np.prod(self.shape)) * self.numpy_dtype.itemsize

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

    def select(self, layers: Sequence[int] | None = None, pooling: Sequence[str] | None = None) -> "FeatureSpec":
        """The setting of some of this one's layers and poolings, all of them where none are named.

        Raises SpecError for one that is not among them.
        """
        chosen = replace(self, layers=tuple(layers or self.layers), pooling=tuple(pooling or self.pooling))
        for name in ("layers", "pooling"):
            absent = [value for value in getattr(chosen, name) if value not in getattr(self, name)]
            if absent:
                raise SpecError(f"the features have no {name} {_show(tuple(absent))} (they have: {_show(getattr(self, name))})")
        return chosen

    def covers(self, other: "FeatureSpec") -> bool:
        """Whether the features of another setting are parts of this one's."""
        return all(part in self.parts for part in other.parts) and not self.select(other.layers, other.pooling).differences(other)

    def columns(self, use: "FeatureSpec") -> np.ndarray:
        """Where the parts of a setting that this one covers stand on the last axis, int64 [use.shape[-1]]."""
        starts = np.array([self.parts.index(part) for part in use.parts], np.int64) * self.hidden_size
        return (starts[:, None] + np.arange(self.hidden_size)).ravel()

    def differences(self, other: "FeatureSpec") -> list[str]:
        """Fields in which two settings differ, as ``name: this, not other``; empty if the digests agree."""
        if self.digest == other.digest:
            return []
        pairs = ((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.name != "model")
        return [f"{name}: {_show(mine)}, not {_show(theirs)}" for name, mine, theirs in pairs if mine != theirs]

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
                f"the setting has fields that this release of enc does not know: {', '.join(unknown)}; upgrade enc-features"
            )
        spec = cls(**values)
        if digest not in (None, spec.digest):
            raise SpecError("the setting does not match its own digest; the file was changed by hand")
        return spec


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else repr(value) if text == "" else text
