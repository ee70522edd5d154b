"""Which numbers a head sees of a pair of texts that were encoded apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...store import FeatureSpec, SourceError
from ...store.nearest import did_you_mean, unknown
from .alignment import alignment, alignment_width, token_directions
from .fourier import fourier_features
from .token_block import TokenBlock
from .vectors import cosines, difference, parts_of, pooled_parts, product
from .words import BUCKETS, COUNTS

NAMES = {
    "cosines": "cosine of both texts, for each layer and pooling",
    "words": "counts of the words, bigrams and numbers that they share, lengths, negation",
    "alignment": "how well the tokens of each match those of the other, for each layer; of token features",
    "difference": "|u - v| of the vectors",
    "product": "u * v of the vectors",
    "first": "u",
    "second": "v",
    "rbf": "random Fourier features of all numbers named beside it, which let a linear head bend",
}
"""What may be combined, and what it is."""
COMPONENTS = 512
"""Of the Fourier features, unless told."""
_VECTORS = ("cosines", "difference", "product", "first", "second")
_ARGUMENTS = {"components": COMPONENTS, "seed": 0}


@dataclass(frozen=True)
class Combination:
    """What is put together of the features and texts of a pair, while rows are gathered.

    ``tables`` hold what was learned from the training rows: ``rarity`` of words, ``common`` directions of
    tokens, and the tables of :mod:`engine.pairs.fourier` as ``rbf.…``.
    """

    names: tuple[str, ...]
    """Of NAMES, in the order in which the numbers stand side by side."""
    arguments: Mapping[str, int] = field(default_factory=dict)
    """Of ``rbf``: ``components``, ``seed``."""
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in NAMES:
                raise SourceError(unknown("--combine", name, NAMES))
        if not self.names or len(set(self.names)) < len(self.names):
            raise SourceError(f"--combine names each combination once, not '{','.join(self.names)}'")
        if self.names == ("rbf",):
            raise SourceError(
                "--combine rbf is of the numbers named beside it; add some, such as cosines,rbf"
            )
        wrong = [name for name in self.arguments if name not in _ARGUMENTS]
        if wrong:
            there = f"there are {', '.join(_ARGUMENTS)}{did_you_mean(wrong[0], _ARGUMENTS)}"
            raise SourceError(f"--combine has no argument '{wrong[0]}'; {there}")
        if self.arguments and not self.bends:
            raise SourceError("--combine-args are of rbf; add it to --combine, or leave out --combine-args")
        for name, value in self.arguments.items():
            least = 1 if name == "components" else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SourceError(f"{name} of rbf must be a whole number from {least} up, not {value!r}")

    @property
    def needs_texts(self) -> bool:
        """Whether it is made of the texts, too, and not of their features alone."""
        return "words" in self.names

    @property
    def needs_tokens(self) -> bool:
        """Whether it is made of token features."""
        return "alignment" in self.names

    @property
    def bends(self) -> bool:
        """Whether random Fourier features are added."""
        return "rbf" in self.names

    def require(self, spec: FeatureSpec) -> None:
        """Raise SourceError where the features of a setting cannot be combined so."""
        if self.needs_tokens and len(spec.shape) != 2:
            raise SourceError(
                "--combine alignment compares tokens, and these features are pooled: build a feature set "
                "with `enc build-features … --pairs separate --pooling tokens`, or leave out alignment"
            )

    def width(self, spec: FeatureSpec) -> int:
        """How many numbers it makes of a pair."""
        return self._base_width(spec) + (self.components if self.bends else 0)

    @property
    def components(self) -> int:
        """How many Fourier features there are, if any."""
        return self.arguments.get("components", COMPONENTS)

    def _base_width(self, spec: FeatureSpec) -> int:
        parts, width = parts_of(spec)
        widths = {
            "cosines": parts,
            "words": len(COUNTS),
            "alignment": alignment_width(spec) if self.needs_tokens else 0,
            "rbf": 0,
        }
        return sum(widths.get(name, parts * width) for name in self.names)

    def table_shapes(self, spec: FeatureSpec) -> dict[str, tuple[int, ...]]:
        """The shapes of the tables that a combination of this setting's features must have."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.needs_texts:
            shapes["rarity"] = (BUCKETS,)
        if self.needs_tokens:
            shapes["common"] = (len(spec.layers), spec.hidden_size)
        if self.bends:
            width, components = self._base_width(spec), self.components
            shapes |= {"rbf.mean": (width,), "rbf.scale": (width,)}
            shapes |= {"rbf.frequencies": (width, components), "rbf.phases": (components,)}
        return shapes

    def base(
        self, spec: FeatureSpec, first: np.ndarray, second: np.ndarray, counts: np.ndarray | None
    ) -> np.ndarray:
        """All numbers but the Fourier features, float32 [rows, width].

        Of features [rows, *spec.shape] of both texts and, for ``words``, the pairs' word counts.
        """
        found: dict[str, np.ndarray] = {}
        one, other = first, second
        if len(spec.shape) == 2:
            one, other = TokenBlock.of(spec, first), TokenBlock.of(spec, second)
        if any(name in _VECTORS for name in self.names):
            u, v = pooled_parts(spec, one), pooled_parts(spec, other)
            made = {"cosines": cosines, "difference": difference, "product": product}
            found = {name: make(u, v) for name, make in made.items() if name in self.names}
            found |= {"first": u.reshape(len(u), -1), "second": v.reshape(len(v), -1)}
        if self.needs_tokens and isinstance(one, TokenBlock) and isinstance(other, TokenBlock):
            directions = token_directions(spec, one), token_directions(spec, other)
            found["alignment"] = alignment(*directions, self.tables["common"])
        if self.needs_texts:
            assert counts is not None
            found["words"] = counts
        return np.concatenate([found[name] for name in self.names if name != "rbf"], 1, dtype=np.float32)

    def __call__(
        self, spec: FeatureSpec, first: np.ndarray, second: np.ndarray, counts: np.ndarray | None = None
    ) -> np.ndarray:
        """What the head sees, float32 [rows, width]; see :meth:`base`."""
        base = self.base(spec, first, second, counts)
        return self.bent(base)

    def bent(self, base: np.ndarray) -> np.ndarray:
        """All numbers, with the Fourier features of them if there are any, float32 [rows, width]."""
        return np.concatenate([base, fourier_features(base, self._fourier)], 1) if self.bends else base

    @property
    def _fourier(self) -> dict[str, np.ndarray]:
        return {name[4:]: table for name, table in self.tables.items() if name.startswith("rbf.")}

    def with_tables(self, **tables: np.ndarray) -> "Combination":
        """The combination with more tables."""
        return replace(self, tables={**self.tables, **tables})

    def selected(self, names: str | Sequence[str]) -> "Combination":
        """The combination of some of its names, with the tables that they share; those of ``rbf`` have to be
        learned anew (:meth:`engine.pairs.served.PairFeatures.fitted`).

        Raises SourceError for a name that is not among its own.
        """
        chosen = names_in(names)
        for name in chosen:
            if name in NAMES and name not in self.names:
                raise SourceError(f"'{name}' is not among what is combined here: {', '.join(self.names)}")
        wanted = Combination(chosen, self.arguments if "rbf" in chosen else {})
        shared = {"rarity": wanted.needs_texts, "common": wanted.needs_tokens}
        return wanted.with_tables(**{name: one for name, one in self.tables.items() if shared.get(name)})

    def without_features(self) -> "Combination":
        """The combination without the tables that were learned from features, of other parts of them."""
        return replace(self, tables={name: one for name, one in self.tables.items() if name == "rarity"})

    @property
    def numbers(self) -> "Combination":
        """The combination without ``rbf``."""
        names = tuple(name for name in self.names if name != "rbf")
        tables = {name: one for name, one in self.tables.items() if not name.startswith("rbf.")}
        return Combination(names, {}, tables)

    def to_json(self) -> dict[str, Any]:
        """Names and arguments, without the tables."""
        return {"names": list(self.names), "arguments": dict(self.arguments)}


def combination_of(
    names: str | Sequence[str] | None, spec: FeatureSpec, arguments: Mapping[str, int] | None = None
) -> Combination:
    """The combination of these names, as ``cosines,words`` or a list; one that suits the features for None.

    Raises SourceError for names that there are not, and for features that cannot be combined so.
    """
    chosen = default_names(spec) if names is None else names_in(names)
    combination = Combination(chosen, dict(arguments or {}))
    combination.require(spec)
    return combination


def names_in(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names in ``cosines,words`` or ``cosines+words``, or in a list."""
    if isinstance(names, str):
        return tuple(name.strip() for name in names.replace("+", ",").split(","))
    return tuple(names)


def names_in_any(combinations: Sequence[str]) -> tuple[str, ...]:
    """All names that stand in any of several combinations, each once."""
    return tuple(dict.fromkeys(name for one in combinations for name in names_in(one)))


def default_names(spec: FeatureSpec) -> tuple[str, ...]:
    """What is combined unless told: what was best on held-out rows of three GLUE tasks."""
    return ("cosines", "alignment", "words") if len(spec.shape) == 2 else ("cosines", "words")
