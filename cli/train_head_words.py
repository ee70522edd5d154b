"""Words in `enc train-head`: beside a head, and alone as what the head is compared with."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .grouped_help import options
from .values import key_values

if TYPE_CHECKING:
    from ..engine import Head
    from ..engine.sweep.comparison import Found
    from ..engine.words.settings import WordSettings
    from ..store import FeatureTable, Source

F = TypeVar("F", bound=Callable[..., Any])
_ROW_OPTIONS = ("valid", "test", "label_column", "task", "batches", "combine")


word_options = options(
    click.option(
        "--words", is_flag=True, help="Join the head with a linear model on the texts' n-grams (TF-IDF)."
    ),
    click.option(
        "--words-args",
        multiple=True,
        metavar="ARGS",
        help="Which words: kind=characters|words|both, ngrams=1-3, word_ngrams=1-2, min_count=2, "
        "size=200000.  [default: by the texts' script]",
    ),
    click.option(
        "--baseline/--no-baseline",
        default=None,
        help="Tell how good words alone are.  [default: where this takes less than a tenth of the time]",
    ),
    heading="Words",
)


def word_settings(values: dict[str, Any]) -> "WordSettings | None":
    """What the options say of words; None without --words. Raises SourceError for what cannot be."""
    from ..engine.words.settings import WordSettings
    from ..store import SourceError

    given = key_values(values["words_args"], "--words-args")
    if given and not values["words"]:
        raise SourceError("--words-args is for words beside a head; add --words, or leave it out")
    return WordSettings.of(given) if values["words"] else None


def with_words(
    head: "Head",
    found: "Found | None",
    train: "Source",
    table: "FeatureTable",
    settings: "WordSettings",
    seed: int,
    options: dict[str, Any],
) -> "tuple[Head, Found | None]":
    """The head joined with its words, and what was found with the same rows predicted by both."""
    from ..engine.sweep.with_words import add_words

    predicted = found.out_of_fold if found else None
    rows: Any = {name: options[name] for name in _ROW_OPTIONS if name in options}
    joined = add_words(head, train, table, seed=seed, settings=settings, out_of_fold=predicted, **rows)
    if found and joined.out_of_fold is not None:
        found = replace(found, out_of_fold=joined.out_of_fold)
    return joined.head, found


def with_baseline(
    head: "Head",
    train: "Source",
    table: "FeatureTable",
    seed: int,
    options: dict[str, Any],
    *,
    wanted: bool | None,
    started: float,
) -> "Head":
    """The head with the figures of words alone in its record, where they are wanted, or cost little.

    ``started`` is when the run began, by ``time.perf_counter``.
    """
    from ..engine.sweep.baseline import words_alone
    from ..store import SourceError

    if wanted is False:
        return head
    most_seconds = None if wanted else (time.perf_counter() - started) / 10
    rows: Any = {name: options[name] for name in _ROW_OPTIONS if name in options}
    try:
        baseline = words_alone(head, train, table, seed=seed, most_seconds=most_seconds, **rows)
    except SourceError:  # such as of texts that have no words in common
        if wanted:
            raise
        return head
    return head if baseline is None else head.replace(record={**head.record, "baseline": baseline})


def words_json(head: "Head") -> dict[str, Any]:
    """What is known of words, as values."""
    names = ("words", "baseline")
    return {name: head.record[name] for name in names if name in head.record}
