"""Which features a search needs, and their encoding in one pass."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...store import (
    FeatureSpec,
    FeatureTable,
    ModelError,
    Source,
    SourceError,
    Store,
    StoreError,
    default_name,
)
from ...store.duck import workspace
from ...store.lookup import look_up
from ...store.places import free_bytes
from ...store.progress import Progress, listener
from ...store.sides import encoded_texts
from ...store.stage import stage_source
from ..encode.asked import AskedSetting
from ..encode.build import build_features
from ..encode.encoder import Encoder
from ..encode.windows import FIRST_WINDOW_ROWS
from ..words.texts import Texts
from .budget import Budget
from .candidates import last_third, title_of

POOLINGS = ("mean", "max", "cls")
_OF_DISK = 0.5  # of what is free, for features
_PACE_SECONDS = 10.0  # of encoding, before it tells how long it will take
_OF_TIME = 0.8  # of the time, for encoding
_OF_TIME_LEFT = 0.3  # the same, for encoding tokens
_LENGTHS = (256, 512)  # tokens that may be kept of texts that are longer than is usual
_FEW = 0.05  # of the texts, that may be cut
_SAMPLE = 1000  # texts, to see how long they are
Load = Callable[[AskedSetting], Encoder]
"""From a setting to the encoder that makes such features."""


@dataclass(frozen=True)
class Encoded:
    """Features of all rows, and what encoded them."""

    table: FeatureTable
    spec: FeatureSpec
    """Setting of the parts that are wanted; the table may have others, too."""
    encoder: Encoder
    texts: int
    """Distinct texts of the rows."""
    text_bytes: float
    """Of the features of a text in the table, on average."""
    texts_per_second: float | None
    """None where no text had to be encoded."""


def encode_rows(
    train: Source,
    texts_of_rows: Texts,
    store: Store,
    load: Load,
    asked: AskedSetting,
    budget: Budget,
    say: Callable[[str], None],
) -> Encoded:
    """Encode the texts of the rows that are not stored yet, all layers in one pass; fewer where the disk is
    small.

    Where ``asked`` names no ``max_length``, and texts are cut at the model's usual one, more is kept of them.
    Raises StoreError where the disk holds no features of the texts, and SourceError where they cannot be
    encoded in the time; what was encoded then stays.
    """
    own = _long_enough(load, asked, texts_of_rows, say)
    every = tuple(range(1, own.layer_count + 1))
    # What the model's own recipe says of its input holds; what it makes of the last layer does not.
    spec = replace(own.spec, layers=every, pooling=POOLINGS, after_pooling=())
    texts = _distinct_texts(train, [])
    plan = _fitting(train, store, narrower(spec), texts, own.layer_count)
    if plan is None:
        least, free = narrower(spec)[-1].row_bytes * texts, free_bytes(store.path) or 0
        raise StoreError(
            f"the features of {texts:,} texts take at least {_size(least)}, and {_size(free)} "
            f"are free in '{store}'; free some space, or take fewer rows with --where"
        )
    say(_plan_text(plan, store, texts))
    return _encoded(train, store, load, plan, texts, budget)


def encode_tokens(
    train: Source,
    store: Store,
    load: Load,
    pooled: Encoded,
    layers: tuple[int, ...],
    budget: Budget,
    say: Callable[[str], None],
    *,
    are_pairs_joined: bool = False,
) -> Encoded | str:
    """Encode the tokens of the same texts; or why that would take too much room or time.

    ``pooled`` is what :func:`encode_rows` made; of each text of a pair by itself, where the pairs of
    ``train`` are joined now.
    """
    if budget.left < 0:
        return "the time is over"
    size, texts = (2, _distinct_texts(train, [])) if are_pairs_joined else (1, pooled.texts)
    spec = replace(pooled.spec, layers=layers, pooling=("tokens",))
    if spec.may_be_ragged:
        spec = replace(spec, token_layout="ragged")
    plan = _fitting(train, store, [spec], texts, pooled.encoder.layer_count, size * _tokens_of(pooled))
    if plan is None:
        return "its features would take too much of the disk"
    if plan.missing and pooled.texts_per_second is not None:
        seconds = size * plan.missing / pooled.texts_per_second
        if seconds > budget.left * _OF_TIME_LEFT:
            return f"encoding would take {seconds / 60:.1f} of the {budget.left / 60:.1f} minutes left"
    say(_plan_text(plan, store, texts))
    try:
        return _encoded(train, store, load, plan, texts, budget)
    except SourceError as error:
        return str(error).partition(";")[0]


def _long_enough(load: Load, asked: AskedSetting, texts: Texts, say: Callable[[str], None]) -> Encoder:
    """The model's own encoder, of so many tokens that few texts are cut."""
    own = load(asked)
    if "max_length" in asked:
        return own
    some = texts.take(np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _SAMPLE)).astype(np.int64)))
    counts = own.tokenize(list(some.all())).n_tokens
    for length in _LENGTHS:
        cut = float(np.mean(counts > own.spec.max_length))
        if length <= own.spec.max_length or cut <= _FEW:
            continue
        try:
            longer = load(AskedSetting(**{**asked, "max_length": length}))
        except ModelError:  # the model has no such positions
            break
        say(f"  {cut:.0%} of the texts are longer than {own.spec.max_length} tokens; {length} are kept")
        own = longer
    return own


@dataclass(frozen=True)
class _Plan:
    """Which features are encoded, and where."""

    spec: FeatureSpec
    name: str
    stored: FeatureSpec
    """Of the feature set, which may have more."""
    missing: int
    """Texts that it lacks."""
    text_bytes: float
    """Of a text's features, on average."""


def _encoded(train: Source, store: Store, load: Load, plan: _Plan, texts: int, budget: Budget) -> Encoded:
    encoder = load(AskedSetting(**plan.stored.setting))
    summary = build_features(train, store, encoder, name=plan.name, progress=_paced(listener(), budget))
    rate = summary.texts_per_second if summary.encoded else None
    return Encoded(store.open(plan.name), plan.spec, encoder, texts, plan.text_bytes, rate)


def _tokens_of(pooled: Encoded) -> float:
    """Tokens that are kept of a text, on average."""
    counts, rows = 0, 0
    for shard in pooled.table.shards:
        column = pq.read_table(shard, columns=["n_tokens"]).column("n_tokens")
        kept = pc.min_element_wise(column, pooled.table.spec.max_length)  # type: ignore[attr-defined]
        counts, rows = counts + pc.sum(kept).as_py(), rows + len(column)  # type: ignore[attr-defined]
    return counts / max(1, rows)


def narrower(spec: FeatureSpec) -> list[FeatureSpec]:
    """The setting of all features, and others of its parts that take less and less room."""
    half = spec.layers[len(spec.layers) // 2 :]
    third = last_third(spec)
    mean = spec.pooling[:1]
    parts = [
        spec,
        spec.select(layers=half),
        spec.select(layers=third),
        spec.select(layers=third, pooling=mean),
        spec.select(layers=spec.layers[-1:], pooling=mean),
    ]
    return list(dict.fromkeys(parts))


def _fitting(
    train: Source,
    store: Store,
    settings: list[FeatureSpec],
    texts: int,
    layer_count: int,
    tokens: float | None = None,
) -> _Plan | None:
    """The widest setting whose features the disk holds; None where it holds none of them.

    A feature set that has the features is taken before a new one is made. ``tokens`` are those of a text, on
    average, where token features are meant.
    """
    free, tables = free_bytes(store.path), _tables(store)
    for spec in settings:
        usual = default_name(spec, layer_count)
        named = sorted(tables, key=lambda table: table.name != usual)
        table = next((one for one in named if one.spec.covers(spec)), None)
        missing = texts if table is None else _distinct_texts(train, table.shards)
        stored = spec if table is None else table.spec
        size = float(stored.row_bytes)
        if tokens is not None and stored.is_ragged:
            size = stored.vector_bytes * tokens
        if free is None or missing * size <= free * _OF_DISK:
            return _Plan(spec, usual if table is None else table.name, stored, missing, size)
    return None


def _distinct_texts(train: Source, shards: list[str]) -> int:
    """Distinct texts of the rows that none of these shards has."""
    with workspace() as con:
        stage = encoded_texts(stage_source(con, train, keep_text=False))
        return look_up(stage, shards).missing


def _tables(store: Store) -> list[FeatureTable]:
    if not store.path.is_dir() or not any(store.path.iterdir()):
        return []
    tables = []
    for name in store.feature_sets():
        with suppress(StoreError):  # a damaged one is no reason not to make another
            tables.append(store.open(name))
    return tables


def _paced(told: Progress, budget: Budget) -> Progress:
    """The progress of encoding, which ends it where it cannot come to its end in time."""
    begun: float | None = None

    def paced(stage: str, done: int, of: int, remark: str = "", /) -> None:
        nonlocal begun
        told(stage, done, of, remark)
        if stage != "encoding":
            return
        if begun is None:  # the encoder is loaded
            begun = budget.seconds
        seconds = budget.seconds - begun
        # The longest texts of a window come first, and tell too much of its pace.
        if seconds < _PACE_SECONDS or done < min(of, FIRST_WINDOW_ROWS):
            return
        expected, left = seconds * of / done, 60 * budget.minutes - begun
        if expected > left * _OF_TIME:
            minutes = math.ceil((expected / _OF_TIME + begun) / 60)
            raise SourceError(
                f"encoding {of:,} texts takes about {expected / 60:.0f} minutes here; pass --minutes "
                f"{minutes} or more, or take fewer rows with --where. What was encoded is kept"
            )

    return paced


def _plan_text(plan: _Plan, store: Store, texts: int) -> str:
    told = f"  features '{plan.name}': {title_of(plan.spec)}, {_size(plan.text_bytes)} a text"
    if not plan.missing:
        return f"{told}; all {texts:,} texts are stored"
    free = free_bytes(store.path)
    room = "" if free is None else f" of {_size(free)} that are free"
    size = _size(plan.missing * plan.text_bytes)
    return f"{told}; {plan.missing:,} of {texts:,} texts to encode, {size}{room}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
