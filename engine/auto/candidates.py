"""Which heads are tried, cheapest first."""

from dataclasses import dataclass

from ...store import FeatureSpec
from ..pairs.combination import names_in
from ..train.config import TrainConfig
from ..train.solve_config import SolveConfig
from .config import AutoConfig


@dataclass(frozen=True)
class Candidate:
    """A head to try on parts of the features."""

    name: str
    """As people read it: ``mean of layers 1-6``."""
    use: FeatureSpec
    """Setting of the parts."""
    config: SolveConfig | TrainConfig
    combine: str | None = None
    """Of pairs whose texts are encoded apart; see :class:`engine.pairs.combination.Combination`."""

    @property
    def bends(self) -> bool:
        """Whether it is more than linear."""
        return isinstance(self.config, TrainConfig) or "rbf" in names_in(self.combine or "")


def linear_candidates(spec: FeatureSpec, config: AutoConfig) -> list[Candidate]:
    """Linear heads on the features of single texts, or of pairs that are encoded as one."""
    last = spec.select(layers=last_third(spec))
    parts = [spec.select(pooling=spec.pooling[:1]), last]
    return [Candidate(title_of(one), one, config.linear) for one in dict.fromkeys(parts)]


def pair_candidates(spec: FeatureSpec, config: AutoConfig) -> list[Candidate]:
    """Linear heads on what is combined of pairs whose texts are encoded apart."""
    vectors = spec.select(layers=spec.layers[len(spec.layers) // 2 :], pooling=spec.pooling[:1])
    tried = [
        ("cosines", spec, "cosines"),
        ("cosines and shared words", spec, "cosines+words"),
        (
            f"the same, differences and products of the {title_of(vectors)}",
            vectors,
            "cosines+words+difference+product",
        ),
        ("cosines and shared words, bent (rbf)", spec, "cosines+words+rbf"),
    ]
    return [Candidate(name, use, config.linear, combine) for name, use, combine in tried]


def aligned_candidates(spec: FeatureSpec, config: AutoConfig) -> list[Candidate]:
    """The same of token features, with which the tokens of both texts are aligned."""
    tried = [
        ("cosines, shared words and aligned tokens", "cosines+alignment+words"),
        ("cosines, shared words and aligned tokens, bent (rbf)", "cosines+alignment+words+rbf"),
    ]
    return [Candidate(name, spec, config.linear, combine) for name, combine in tried]


ALIGNED_COMBINATION = "cosines,alignment,words,rbf"
"""All that aligned_candidates combine."""
PAIR_COMBINATION = "cosines,words,difference,product,rbf"
"""All that pair_candidates combine."""


def mlp_like(candidate: Candidate, config: AutoConfig) -> Candidate:
    """An mlp on the features of another candidate."""
    mlp = TrainConfig(
        head="mlp",
        head_args={"hidden": 256, "dropout": 0.5},
        epochs=10,
        schedule="cosine",
        weight_decay=0.1,
        class_weights=config.class_weights,
        seed=config.seed,
    )
    return Candidate(f"{candidate.name}, mlp", candidate.use, mlp, candidate.combine)


def attention_over(spec: FeatureSpec, config: AutoConfig) -> Candidate:
    """Attention over the tokens of single texts."""
    attention = TrainConfig(
        head="attention",
        epochs=6,
        schedule="cosine",
        weight_decay=0.1,
        class_weights=config.class_weights,
        seed=config.seed,
    )
    return Candidate(f"attention over the {title_of(spec)}", spec, attention)


_UPPER = (1, 2, 4)
ALL_TUNED = "all layers, tuned"


def tuned_layers(layer_count: int) -> list[int]:
    """How many of the model's upper layers are tuned, candidate by candidate; in the end all."""
    return [*(upper for upper in _UPPER if upper < layer_count), layer_count]


def upper_candidate(spec: FeatureSpec, upper: int, layer_count: int, config: AutoConfig) -> Candidate:
    """The model's own upper layers as a head, on the states below them."""
    tuned = TrainConfig.of(
        "encoder", head_args={"layers": upper}, class_weights=config.class_weights, seed=config.seed
    )
    name = "the last layer, tuned" if upper == 1 else f"the upper {upper} layers, tuned"
    if upper == layer_count:
        name = ALL_TUNED
    return Candidate(name, spec.select(layers=(layer_count - upper,)), tuned)


def last_third(spec: FeatureSpec) -> tuple[int, ...]:
    """The last third of the layers that there are, rounded up."""
    return spec.layers[-max(1, -(-len(spec.layers) // 3)) :]


def title_of(spec: FeatureSpec) -> str:
    """As in ``mean, max and cls of layers 5-6``."""
    *first, last = spec.pooling
    poolings = f"{', '.join(first)} and {last}" if first else last
    layers = spec.layers
    if len(layers) == 1:
        return f"{poolings} of layer {layers[0]}"
    if layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"{poolings} of layers {layers[0]}-{layers[-1]}"
    return f"{poolings} of layers {', '.join(map(str, layers))}"
