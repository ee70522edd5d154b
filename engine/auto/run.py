"""The search for a head, from rows to the best that can be had in the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

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
    ALL_TUNED,
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
from .found import AutoFound, line_of, record_of
from .judged import Judged, Stopped, trained, with_figures
from .rows import Rows, read_rows
from .search import Say, Search
from .speeds import Speeds
from .upper import encode_states, judge_further, seconds_to_train, try_tuned
from .words import RowJudge

_OF_TIME = 0.3  # of the time, for words


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
    folds justify it; for pairs whose texts are encoded apart, what is combined of both texts; and heads of
    the encoder's own upper layers, in the end of all, as long as more of them are no worse. Those are judged
    on the first fold, and on others while there is time. The best are joined with words. The simplest is kept
    that is within half a point, and a standard error, of the best one.

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
    judge_of_rows = RowJudge(rows, fold_of, watched, loss)
    search = Search(judge_of_rows, budget, say)
    say(f"{len(rows.targets):,} rows, {config.folds} folds, at most {config.minutes:g} minutes")
    constant = judge_of_rows.constant()
    if constant:
        search.tell(constant)
    fitted, words = _words(judge_of_rows, search)

    encoding = budget.seconds
    encoded = encode_rows(train, rows.texts, store, load, asked or AskedSetting(), budget, say)
    encoding = budget.seconds - encoding

    inputs = _Inputs(train, store, load, budget, say, rows, config, label_column, task, encoded)
    data = inputs.data_of(encoded, PAIR_COMBINATION)
    make = pair_candidates if train.is_separate else linear_candidates
    search.try_all(make(data.spec, config), data)
    search.try_all([mlp_like(search.best_straight, config)], data)
    join = partial(_join_words, judge_of_rows, search, fitted)
    join()

    tokens = "" if not train.is_separate else _try_tokens(search, inputs, data.spec.layers)
    join()
    states = try_tuned(search, inputs.layer_count, inputs.states, inputs.data_of, config)
    join()
    if not train.is_separate:
        budget.reserved = seconds_to_train(search)
        tokens = _try_tokens(search, inputs, data.spec.layers[-1:])
        budget.reserved = 0.0
    judge_further(search, join)
    kept, curve_of = search.kept, search.best_linear
    head = _trained(kept, judge_of_rows, fitted)
    points = learning_curve(curve_of, fold_of, watched, budget, config.seed)
    speeds = Speeds(
        rows.texts,
        encoded.encoder if budget.left > 0 else None,
        encoded.texts_per_second,
        is_separate=train.is_separate,
        token_bytes={one.table.name: one.text_bytes for one in (tokens, *states) if isinstance(one, Encoded)},
    )
    compared = [*(one for one in (constant, words) if one), *search.judged]
    tried = [line_of(one, kept, search, speeds.sizes(one, fitted)) for one in compared]
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
        lead=search.lead,
        tuned=[one for one in search.judged if one.is_tuned],
        are_all_tuned=any(one.name == ALL_TUNED for one in search.judged),
    )
    why, steps = reason(facts), next_steps(facts)
    head = head.replace(record={**head.record, **record_of(config, kept, tried, search.stopped, why, steps)})
    predicted = out_of_fold_table(data, head, fold_of, kept.outputs)
    return AutoFound(head, watched, tried, search.stopped, why, steps, predicted, round(encoding, 2))


@dataclass(frozen=True)
class _Inputs:
    """The rows of a search, and how features of them are made."""

    train: Source
    store: Store
    load: Load
    budget: Budget
    say: Say
    rows: Rows
    config: AutoConfig
    label_column: str | Sequence[str]
    task: str | None
    pooled: Encoded

    @property
    def layer_count(self) -> int:
        """Layers of the model."""
        return self.pooled.encoder.layer_count

    def data_of(self, features: Encoded, combine: str | None = None) -> TrainData:
        """Rows with their features; pairs are joined unless it is said how their texts are combined."""
        source = self.train if combine else replace(self.train, pairs="joint")
        data = load_examples(
            source,
            features.table,
            use=None if features.spec == features.table.spec else features.spec,
            valid=Folds(self.config.folds),
            label_column=self.label_column,
            task=self.task,
            combine=combine if source.is_separate else None,
            seed=self.config.seed,
        )
        self.rows.require_same(data)
        return data

    def tokens(self, layers: tuple[int, ...]) -> Encoded | str:
        """Encode the tokens of single texts; or why there are none."""
        return encode_tokens(self.train, self.store, self.load, self.pooled, layers, self.budget, self.say)

    def states(self, layers: tuple[int, ...]) -> Encoded | str:
        """Encode what the model's own layers go on from; of a pair, both texts as one."""
        joint, of_pairs = replace(self.train, pairs="joint"), self.train.is_separate
        return encode_states(
            layers, joint, self.store, self.load, self.pooled, self.budget, self.say, of_pairs=of_pairs
        )


def _try_tokens(search: Search, inputs: _Inputs, layers: tuple[int, ...]) -> Encoded | str:
    """Judge heads over tokens of these layers, or leave them for the reason returned."""
    tokens = inputs.tokens(layers)
    if isinstance(tokens, str):
        search.leave(Stopped("heads over tokens", tokens, is_late=True))
        return tokens
    data = inputs.data_of(tokens, ALIGNED_COMBINATION)
    if data.combination is None:
        search.try_all([attention_over(data.spec, inputs.config)], data)
    else:
        search.try_all(aligned_candidates(data.spec, inputs.config), data)
    return tokens


def _trained(kept: Judged, rows: RowJudge, fitted: FittedWords | None) -> Head:
    """The head to keep, trained on all rows."""
    head = trained(kept.base or kept)
    if kept.base is None or fitted is None:
        return head
    return with_figures(rows.joined_head(head, kept.base, fitted), kept.figures)


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


def _join_words(judge_of_rows: RowJudge, search: Search, fitted: FittedWords | None) -> None:
    """Join what would be kept, the best, and the best tuned head with words, unless they are joined."""
    if fitted is None:
        return
    heads = [one for one in search.judged if one.candidate is not None]
    tuned = [one for one in heads if one.is_tuned]
    for base in (search.kept_of(heads), search.best_of(heads), *([search.best_of(tuned)] if tuned else [])):
        is_joined = any(one.base is base for one in search.judged)
        found = None if is_joined else judge_of_rows.with_words(base, fitted)
        if found:
            search.add(found)


def _load(asked: AskedSetting) -> Encoder:
    return load_encoder(**asked)
