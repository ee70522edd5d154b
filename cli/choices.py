"""A wrong choice is answered with the nearest that there is, and a missing option with what it is."""

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


def with_nearest(kind: click.ParamType) -> click.ParamType:
    """The same type, whose choices, if it has some, are answered with the nearest."""
    return NearChoice(kind.choices, kind.case_sensitive) if type(kind) is click.Choice else kind


@contextmanager
def missing_explained() -> Iterator[None]:
    """During a block, the error about an option that is missing says what the option is."""
    try:
        yield
    except click.MissingParameter as error:
        if isinstance(error.param, click.Option) and error.param.help and not error.message:
            raise click.MissingParameter(error.param.help, error.ctx, error.param) from error
        raise
