"""Options of a command below headings, so that one finds among forty the five that one looks for."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import click

_HEADINGS: "WeakKeyDictionary[click.Parameter, str]" = WeakKeyDictionary()
COMMON = {"as_json", "has_report", "config_file", "quiet", "verbose", "debug", "_click_default_help"}
"""Options that stand last, as they are alike in all commands."""
_COMMON_HEADING, _OTHER_HEADING = "Common options", "Options"


def options(*decorators: Callable[..., Any], heading: str | None = None) -> Callable[..., Any]:
    """Several click options as one decorator; help lists them in this order, below ``heading``.

    An option that has a heading of its own keeps it.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        before = list(getattr(function, "__click_params__", ()))
        for decorator in reversed(decorators):
            function = decorator(function)
        for parameter in getattr(function, "__click_params__", ()):
            if heading and parameter not in before:
                _HEADINGS.setdefault(parameter, heading)
        return function

    return decorate


def write_groups(
    parameters: Iterable[click.Parameter], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write options group by group: those without a heading first, and what all commands have last."""
    groups: dict[str, list[tuple[str, str]]] = {_OTHER_HEADING: []}
    common: list[tuple[str, str]] = []
    for parameter in parameters:
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is None:
            continue
        if parameter.name in COMMON:
            common.append(record)
        else:
            groups.setdefault(_HEADINGS.get(parameter, _OTHER_HEADING), []).append(record)
    if len(groups) < 2:  # few options need no headings
        groups[_OTHER_HEADING] += common
        common = []
    if common:
        groups[_COMMON_HEADING] = common
    for heading, records in groups.items():
        if not records:
            continue
        with formatter.section(heading):
            formatter.write_dl(records)
