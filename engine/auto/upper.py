"""Heads of the encoder's upper layers, and in the end of all: the dearest candidates of a search."""

from collections.abc import Callable
from dataclasses import replace

from ...store import HeadError, ModelError, Source, Store
from ..train.begin_encoder import folder_of, require_states, upper_configuration
from ..train.examples import TrainData
from .budget import Budget
from .candidates import ALL_TUNED, tuned_layers, upper_candidate
from .config import AutoConfig
from .features import Encoded, Load, encode_tokens
from .judged import OF_ALL_ROWS, Judged, Stopped
from .search import Say, Search

EncodeStates = Callable[[tuple[int, ...]], Encoded | str]
"""From layers to the states of their tokens; or why there are none."""


def encode_states(
    layers: tuple[int, ...],
    train: Source,
    store: Store,
    load: Load,
    pooled: Encoded,
    budget: Budget,
    say: Say,
    *,
    of_pairs: bool,
) -> Encoded | str:
    """Encode the states that heads of the layers above go on from, in one pass; or why there are none.

    ``pooled`` is what was encoded of the same texts. ``of_pairs`` tells that those were each text of a pair
    by itself; here, each pair is one text.
    """
    lowest = replace(pooled.spec, layers=layers[:1], pooling=("tokens",))
    try:
        require_states(lowest)
        upper_configuration(folder_of(lowest, None), lowest, None)
    except (HeadError, ModelError) as error:
        return str(error)
    return encode_tokens(train, store, load, pooled, layers, budget, say, are_pairs_joined=of_pairs)


def try_tuned(
    search: Search,
    layer_count: int,
    encode: EncodeStates,
    data_of: Callable[[Encoded], TrainData],
    config: AutoConfig,
) -> list[Encoded]:
    """Judge heads of 1, 2, 4 and all layers on the first fold, until more of them are surely worse.

    One pass makes the states for all but the last, which has one of its own. Returns what was encoded.
    """
    *fewer, every = tuned_layers(layer_count)
    found: list[Encoded] = []
    before: Judged | None = None
    for layers in (fewer, [every]):
        name = "heads of upper layers" if layers is fewer else ALL_TUNED
        if not layers:
            continue
        if before is not None:
            seconds = before.seconds * every / fewer[-1] * (1 + OF_ALL_ROWS)
            if seconds > search.budget.left:
                search.leave(Stopped(name, _too_long(seconds, search.budget), is_late=True))
                break
        states = encode(tuple(layer_count - one for one in reversed(layers)))
        if isinstance(states, str):
            search.leave(Stopped(name, states, is_late=search.budget.left < 0))
            break
        found.append(states)
        data = data_of(states)
        for upper in layers:
            judged = search.try_first(upper_candidate(data.spec, upper, layer_count, config), data)
            if judged is None or (before is not None and _is_worse(search, judged, before)):
                return found
            before = judged
    return found


def _is_worse(search: Search, one: Judged, other: Judged) -> bool:
    """Whether one of two is behind by more than the standard error of that."""
    behind, error = search.lead(other, one)
    return behind > error


def judge_further(search: Search, join: Callable[[], None]) -> None:
    """Judge the tuned head that would be kept, or the best one, on more folds, while there is time.

    ``join`` joins heads with words that are not joined yet.
    """
    while True:
        join()
        dear = _dear(search)
        if not dear or not search.try_next(dear[0]):
            return


def seconds_to_train(search: Search) -> float:
    """How long the training of what would be kept, or of the best, takes at the most, if it was tuned."""
    return max((OF_ALL_ROWS * one.seconds / len(one.values) for one in _dear(search)), default=0.0)


def _dear(search: Search) -> list[Judged]:
    """Of what would be kept, and of the best, the heads that were not judged on all folds."""
    return [one.base or one for one in (search.kept, search.best) if not search.is_whole(one)]


def _too_long(seconds: float, budget: Budget) -> str:
    left = max(0.0, budget.left) / 60
    return f"a fold, and all rows, would take {seconds / 60:.1f} of the {left:.1f} minutes left"
