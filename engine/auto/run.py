"""The search for a head, from rows to the best that can be had in the time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...store import Source, SourceError, Store
from ...store.progress import Progress, hears_progress
from ..backends.load import load_encoder
from ..encode.asked import AskedSetting
from ..encode.encoder import Encoder
from ..heads.head import Head
from ..heads.metrics import require_metric
from ..sweep.folds import out_of_fold_table
from ..train.examples import TrainData, load_examples
from ..train.judging import loss_of
from ..train.validation import Folds
from ..words.model import FittedWords
from .advice import Facts, next_steps, reason
from .budget import Budget
from .candidates import (
    ALIGNED_COMBINATION,
    PAIR_COMBINATION,
    aligned_candidates,
    attention_over,
    linear_candidates,
    mlp_like,
    pair_candidates,
)
from .config import AutoConfig
from .curve import learning_curve
from .features import Encoded, Load, encode_rows, encode_tokens
from .judged import Judged, Stopped, trained, with_figures
from .rows import read_rows
from .search import Say, Search
from .speeds import Sizes, Speeds
from .upper import encode_states, try_upper
from .words import RowJudge

_OF_TIME = 0.3  # of the time, for words


@dataclass(frozen=True)
class Tried:
    """A line of the table that a search ends with."""

    name: str
    metric: float
    error: float
    """Standard error of the metric, over the folds."""
    seconds: float
    """It took to try it; encoding is a line of its own."""
    feature_bytes: int
    """A row, on disk."""
    head_bytes: int
    texts_per_second: float | None
    """Rows scored a second where their texts are new; None where that was not measured."""
    is_kept: bool
    can_be_kept: bool
    """Whether it is a head; the others are what heads are compared with."""


@dataclass(frozen=True)
class AutoFound:
    """What a search found."""

    head: Head
    metric: str
    tried: list[Tried]
    """In the order in which they were tried."""
    stopped: list[Stopped]
    """What was left before its last fold, and why."""
    reason: str
    next_steps: list[str]
    out_of_fold: pa.Table
    """A row for each training row: source, row, fold, label, prediction and probabilities, by heads that
    did not see the row.
    """
    encoding_seconds: float
    """Of all layers; tokens not included."""

    @property
    def tables(self) -> dict[str, pa.Table]:
        """What is kept beside the head, by name."""
        rows = [vars(one) for one in self.tried]
        return {"auto": pa.Table.from_pylist(rows), "out_of_fold": self.out_of_fold}


@hears_progress
def auto_head(
    train: Source,
    store: Store | str | Path,
    *,
    config: AutoConfig | None = None,
    label_column: str | Sequence[str] = "label",
    task: str | None = None,
    load: Load | None = None,
    asked: AskedSetting | None = None,
    say: Say = lambda _: None,
    progress: Progress | None = None,
) -> AutoFound:
    """The best head that can be had within ``config.minutes``.

    Candidates are tried cheapest first, and judged by folds of the rows: what words alone reach, linear heads
    on features of all layers (which are encoded in one pass, and kept in the store), an mlp as long as its
    folds justify it, and the best of them joined with words; for pairs whose texts are encoded apart, what is
    combined of both texts; and in the end heads of the encoder's own upper layers, as long as more of them
    are better. The simplest is kept whose folds are within a standard error of the best one's.

    ``load`` makes the encoder of a setting, by default :func:`engine.backends.load.load_encoder` of
    ``minilm``; ``asked`` is what is fixed of the setting, such as ``max_length``. ``say`` is told a line for
    each step.
    The same seed gives the same head where the same candidates come to their end: the minutes decide how many
    do. Encoding, and the first head, are never cut short; what cannot be encoded in time is refused. Raises
    SourceError, LabelError and HeadError for rows that no head can be trained on, and StoreError where the
    disk is too small.
    """
    config, load = config or AutoConfig(), load or _load
    budget, store = Budget(config.minutes), Store(store)
    rows = read_rows(train, label_column, task)
    watched = config.metric or rows.task.metric
    require_metric(watched, rows.task, rows.outputs)
    fold_of = rows.folds(config.folds, config.seed)
    loss = loss_of(rows.task, rows.labels, rows.targets, config.linear)
    judge_of_rows, search = RowJudge(rows, fold_of, watched, loss), Search(fold_of, watched, budget, say)
    say(f"{len(rows.targets):,} rows, {config.folds} folds, at most {config.minutes:g} minutes")
    constant = judge_of_rows.constant()
    if constant:
        search.tell(constant)
    fitted, words = _words(judge_of_rows, search)

    encoding = budget.seconds
    encoded = encode_rows(train, rows.texts, store, load, asked or AskedSetting(), budget, say)
    encoding = budget.seconds - encoding

    def data_of(features: Encoded, combine: str | None, source: Source = train) -> TrainData:
        data = load_examples(
            source,
            features.table,
            use=None if features.spec == features.table.spec else features.spec,
            valid=Folds(config.folds),
            label_column=label_column,
            task=task,
            combine=combine if source.is_separate else None,
            seed=config.seed,
        )
        rows.require_same(data)
        return data

    data = data_of(encoded, PAIR_COMBINATION)
    make = pair_candidates if train.is_separate else linear_candidates
    search.try_all(make(data.spec, config), data)
    search.try_all([mlp_like(search.best_straight, config)], data)
    joined: set[str] = set()
    _join_words(judge_of_rows, search, fitted, joined)

    layers = data.spec.layers if train.is_separate else data.spec.layers[-1:]
    tokens = encode_tokens(train, store, load, encoded, layers, budget, say)
    _try_tokens(search, tokens, data_of, config)
    _join_words(judge_of_rows, search, fitted, joined)
    joint = replace(train, pairs="joint")
    states = encode_states(joint, store, load, encoded, budget, say, of_pairs=train.is_separate)
    tuned = try_upper(search, states, lambda one: data_of(one, None, joint), config)
    _join_words(judge_of_rows, search, fitted, joined)
    kept, curve_of = search.kept, search.best_linear
    head = trained(kept.base or kept)
    if kept.base is not None and fitted is not None:
        head = with_figures(judge_of_rows.joined_head(head, kept.base, fitted), kept.figures)
    points = learning_curve(curve_of, fold_of, watched, budget, config.seed)
    speeds = Speeds(
        rows.texts,
        encoded.encoder if budget.left > 0 else None,
        encoded.texts_per_second,
        is_separate=train.is_separate,
        token_bytes={one.table.name: one.text_bytes for one in (tokens, states) if isinstance(one, Encoded)},
    )
    compared = [*(one for one in (constant, words) if one), *search.judged]
    tried = [_tried(one, kept, speeds.sizes(one, fitted)) for one in compared]
    facts = Facts(
        watched=watched,
        kept=kept,
        best=search.best,
        words=words,
        stopped=search.stopped,
        curve=points,
        curve_of=curve_of,
        rows=len(rows.targets),
        texts_per_second=encoded.texts_per_second,
        minutes=config.minutes,
        tuned=tuned,
    )
    why, steps = reason(facts), next_steps(facts)
    head = head.replace(record={**head.record, **_record(config, tried, search.stopped, why, steps)})
    predicted = out_of_fold_table(data, head, fold_of, kept.outputs)
    return AutoFound(head, watched, tried, search.stopped, why, steps, predicted, round(encoding, 2))


def _try_tokens(
    search: Search, tokens: Encoded | str, data_of: Callable[[Encoded, str], TrainData], config: AutoConfig
) -> None:
    """Judge heads over tokens, or leave them for the reason given."""
    if isinstance(tokens, str):
        search.leave(Stopped("heads over tokens", tokens, is_late=True))
        return
    data = data_of(tokens, ALIGNED_COMBINATION)
    is_pair = data.combination is not None
    tried = aligned_candidates(data.spec, config) if is_pair else [attention_over(data.spec, config)]
    search.try_all(tried, data)


def _words(judge_of_rows: RowJudge, search: Search) -> tuple[FittedWords | None, Judged | None]:
    """Words alone; None where they take too long, or no word is in two texts."""
    seconds = judge_of_rows.words_seconds()
    if seconds > search.budget.left * _OF_TIME:
        search.leave(Stopped("words", f"they take up to {seconds / 60:.1f} minutes", is_late=True))
        return None, None
    try:
        fitted, judged = judge_of_rows.words()
    except SourceError:
        search.leave(Stopped("words", "no n-gram is in two of the texts"))
        return None, None
    if judged:
        search.tell(judged)
    return fitted, judged


def _join_words(
    judge_of_rows: RowJudge, search: Search, fitted: FittedWords | None, joined: set[str]
) -> None:
    """Join the best candidate, and the one that would be kept, with words.

    ``joined`` names those that are joined already.
    """
    heads = [one for one in search.judged if one.candidate is not None]
    for base in (search.kept_of(heads), search.best_of(heads)):
        if fitted is None or base.name in joined:
            continue
        joined.add(base.name)
        found = judge_of_rows.with_words(base, fitted)
        if found:
            search.add(found)


def _tried(judged: Judged, kept: Judged, sizes: Sizes) -> Tried:
    return Tried(
        name=judged.name,
        metric=judged.mean,
        error=judged.error,
        seconds=round(judged.seconds, 2),
        feature_bytes=sizes.feature_bytes,
        head_bytes=sizes.head_bytes,
        texts_per_second=sizes.texts_per_second,
        is_kept=judged is kept,
        can_be_kept=judged.is_head,
    )


def _record(
    config: AutoConfig, tried: Sequence[Tried], stopped: Sequence[Stopped], why: str, steps: Sequence[str]
) -> dict[str, Any]:
    """What a head's record says of the search."""
    return {
        "folds": config.folds,
        "figures_of": f"the setting on {config.folds} held-out folds",
        "auto": {
            "minutes": config.minutes,
            "seed": config.seed,
            "tried": [vars(one) for one in tried],
            "stopped": [vars(one) for one in stopped],
            "reason": why,
            "next": list(steps),
        },
    }


def _load(asked: AskedSetting) -> Encoder:
    return load_encoder(**asked)
