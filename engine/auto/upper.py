"""Heads of the encoder's upper layers, the last and dearest candidates of a search."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...store import HeadError, ModelError, Source, Store
from ..train.begin_encoder import folder_of, require_states, upper_configuration
from ..train.examples import TrainData
from .budget import Budget
from .candidates import UPPER, upper_candidates
from .choice import gains
from .config import AutoConfig
from .features import Encoded, Load, encode_tokens
from .judged import Judged, Stopped
from .search import Say, Search


def encode_states(
    train: Source,
    store: Store,
    load: Load,
    pooled: Encoded,
    budget: Budget,
    say: Say,
    *,
    of_pairs: bool,
) -> Encoded | str:
    """Encode the states that heads of upper layers go on from, in one pass; or why there are none.

    ``pooled`` is what was encoded of the same texts. ``of_pairs`` tells that those were each text of a pair
    by itself; here, each pair is one text.
    """
    if budget.left < 0:
        return "the time is over"
    count = pooled.encoder.layer_count
    layers = tuple(count - upper for upper in reversed(UPPER) if upper < count)
    if not layers:
        return "the model has one layer"
    lowest = replace(pooled.spec, layers=layers[:1], pooling=("tokens",))
    try:
        require_states(lowest)
        upper_configuration(folder_of(lowest, None), lowest, None)
    except (HeadError, ModelError) as error:
        return str(error)
    return encode_tokens(train, store, load, pooled, layers, budget, say, are_pairs_joined=of_pairs)


def try_upper(
    search: Search, states: Encoded | str, data_of: Callable[[Encoded], TrainData], config: AutoConfig
) -> list[Judged]:
    """Judge heads of 1, 2 and 4 upper layers, as long as each is better than the one before.

    The first is compared with the best linear head on frozen features. Returns those that came to their
    end; without ``states``, for the reason given, there are none.
    """
    if isinstance(states, str):
        search.leave(Stopped("heads of upper layers", states, is_late=search.budget.left < 0))
        return []
    before, found, data = search.best_linear, [], data_of(states)
    for candidate in upper_candidates(data.spec, states.encoder.layer_count, config):
        judged = search.try_one(candidate, data, before)
        if judged is None:
            break
        found.append(judged)
        if float(np.mean(gains(search.watched, judged.values, before.values))) <= 0:
            break
        before = judged
    return found
