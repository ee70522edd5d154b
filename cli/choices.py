"""How click's types speak: a wrong choice is answered with the nearest that there is, a missing option with
what it is, and a range is told in words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click


class NearChoice(click.Choice[Any]):
    """One of several words."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The message about another word, with those that there are and the nearest of them."""
        from ..store.nearest import did_you_mean

        near = did_you_mean(str(value), map(str, self.choices))
        return f"{super().get_invalid_choice_message(value, ctx).rstrip('.')}{near or '.'}"


class IntInWords(click.IntRange):
    """An integer of a range, which is told in words."""

    name = "integer"

    def _describe_range(self) -> str:  # click asks this, for help and for errors
        return _in_words(self)


class FloatInWords(click.FloatRange):
    """A number of a range, which is told in words."""

    name = "float"

    def _describe_range(self) -> str:
        return _in_words(self)


def _in_words(kind: click.IntRange | click.FloatRange) -> str:
    """A range as "1 and up", where click has "x>=1"."""
    if kind.min is None:
        return f"up to {kind.max:,.10g}"
    if kind.max is None:
        return f"above {kind.min:,.10g}" if kind.min_open else f"{kind.min:,.10g} and up"
    return f"{kind.min:,.10g} to {kind.max:,.10g}"


def well_spoken(kind: click.ParamType) -> click.ParamType:
    """The same type, which answers as told above."""
    if type(kind) is click.Choice:
        return NearChoice(kind.choices, kind.case_sensitive)
    if type(kind) is click.IntRange:
        return IntInWords(kind.min, kind.max, kind.min_open, kind.max_open, kind.clamp)
    if type(kind) is click.FloatRange:
        return FloatInWords(kind.min, kind.max, kind.min_open, kind.max_open, kind.clamp)
    return kind


@contextmanager
def missing_explained() -> Iterator[None]:
    """During a block, the error about an option that is missing says what the option is."""
    try:
        yield
    except click.MissingParameter as error:
        if isinstance(error.param, click.Option) and error.param.help and not error.message:
            hint = error.param.get_error_hint(error.ctx)
            raise click.UsageError(f"Missing option {hint}: {error.param.help}", error.ctx) from error
        raise
