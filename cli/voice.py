"""How much a command tells on stderr: `--quiet`, `--verbose`, and what other libraries say."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

_META = "enc.voice"
_LOGGING = "TRANSFORMERS_VERBOSITY"


class Voice(IntEnum):
    """How much is told."""

    QUIET = -1
    """Results, errors, and what was left undone."""
    PLAIN = 0
    VERBOSE = 1
    """Also the time of each line and stage, and what other libraries warn of."""


_voice, _began = Voice.PLAIN, time.monotonic()


def note(message: str) -> None:
    """A line for people, on stderr, unless the command is quiet."""
    if _voice is not Voice.QUIET:
        warn(message)


def warn(message: str) -> None:
    """A line on stderr that a quiet command says, too."""
    passed = f"[{time.monotonic() - _began:6.1f} s] " if _voice is Voice.VERBOSE else ""
    click.echo(f"{passed}{message}", err=True)


def say_nothing(_: str) -> None:
    """For who is not to say it: a process beside the first, or a quiet command."""


def is_quiet() -> bool:
    """Whether nothing but results and errors is told."""
    return _voice is Voice.QUIET


def is_verbose() -> bool:
    """Whether times, and warnings of other libraries, are told."""
    return _voice is Voice.VERBOSE


def set_voice(ctx: click.Context, _: click.Parameter, value: Voice | None) -> None:
    """Remember an option; the last one that is given counts, whichever side of the command it stands on."""
    if value is not None:
        ctx.meta[_META] = value


@contextmanager
def speaking(ctx: click.Context) -> Iterator[None]:
    """During a block, as much is told as the options of the command say."""
    global _voice, _began
    before = _voice, _began
    _voice, _began = ctx.meta.get(_META, Voice.PLAIN), time.monotonic()
    try:
        if _voice is Voice.VERBOSE or sys.warnoptions:
            yield
            return
        with warnings.catch_warnings(), _transformers_quiet():
            warnings.simplefilter("ignore")  # such as of functions that a library will drop
            yield
    finally:
        _voice, _began = before


@contextmanager
def _transformers_quiet() -> Iterator[None]:
    """During a block, transformers tells errors alone, unless its own variable says otherwise."""
    if _LOGGING in os.environ:
        yield
        return
    os.environ[_LOGGING] = "error"  # read when transformers is imported, if it is
    try:
        yield
    finally:
        os.environ.pop(_LOGGING, None)


def without_color(ctx: click.Context) -> None:
    """Keep colours out where NO_COLOR is set, whatever its value: see no-color.org."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
