"""How a command ends (done, with an error of one line, or interrupted), and the exit code of each end."""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from ..store.errors import EncError

DEFECT = 1
USER_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143
REJECTS = 3
"""Of `enc score --strict` and `enc features --strict`: all is written, and some rows were rejected."""
_LONGEST_MESSAGE = 4000  # characters
_WAYS_OUT = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
    errno.EACCES: "check its permissions, or choose another place",
    errno.EPERM: "check its permissions, or choose another place",
    errno.EROFS: "choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files: ulimit -n",
}


class Terminated(KeyboardInterrupt):
    """A request to end, by signal SIGTERM."""


def error_line(error: Exception) -> tuple[str, int]:
    """What is said of an exception, in one line, and the exit code."""
    if isinstance(error, EncError):
        said = str(error)
        # A column's name may be as long as a file.
        return _shortened(said, "… (--debug shows all)"), USER_ERROR
    if isinstance(error, OSError) and error.errno is not None:
        # Some libraries have a long text of their own in place of the system's, and no name of the file.
        place = f": '{error.filename}'" if error.filename is not None else ""
        way_out = _WAYS_OUT.get(error.errno)
        return f"{os.strerror(error.errno)}{place}{'; ' + way_out if way_out else ''}", USER_ERROR
    said = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError):
        return f"not enough memory{': ' + said if said else ''}", USER_ERROR
    kind = type(error).__name__
    return f"{kind}{': ' + said if said else ''} (this is a defect of enc; --debug shows where it is)", DEFECT


class Mistyped(click.UsageError):
    """A command line that click cannot take."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Tell it as all errors are told."""
        click.echo(f"error: {self.message}", file=file, err=True)


@contextmanager
def mistyped_in_one_line(ctx: click.Context) -> Iterator[None]:
    """During a block, what click says of a command line is one line, with the help to look at as the way out.

    It is raised as Mistyped.
    """
    try:
        yield
    except (Mistyped, click.exceptions.NoArgsIsHelpError):
        raise
    except click.UsageError as error:
        raise Mistyped(_usage_line(error, error.ctx or ctx), ctx) from error


def _usage_line(error: click.UsageError, ctx: click.Context) -> str:
    said = error.format_message()
    if isinstance(error, click.NoSuchOption):
        if argument := _argument_of(ctx, error.option_name):
            pieces = [piece for piece in ctx.command.collect_usage_pieces(ctx) if piece != "[OPTIONS]"]
            as_in = " ".join([ctx.command_path, *pieces])
            return f"no such option '{error.option_name}'; write {argument} without it, as in `{as_in}`"
        said = error.message + "".join(f" Did you mean '{name}'?" for name in (error.possibilities or ())[:1])
    said = _shortened(" ".join(said.split("\n")), "…")
    wrong, is_near, near = said.rpartition(" Did you mean ") if said.endswith("?") else (said, "", "")
    way_out = f"{wrong.rstrip('. ')}; see `{ctx.command_path} --help`{'.' if is_near else ''}{is_near}{near}"
    return way_out[:1].lower() + way_out[1:]


def _argument_of(ctx: click.Context, option: str) -> str | None:
    """How the usage writes the argument that somebody took for an option, if it is one."""
    name = option.lstrip("-").replace("-", "_")
    arguments = [one for one in ctx.command.params if isinstance(one, click.Argument) and one.name == name]
    return next((one.make_metavar(ctx).replace("[", "").replace("]", "") for one in arguments), None)


def _shortened(said: str, end: str) -> str:
    return said if len(said) <= _LONGEST_MESSAGE else f"{said[:_LONGEST_MESSAGE]}{end}"


@contextmanager
def sigterm_as_interrupt(signals: list[int]) -> Iterator[None]:
    """During a block, SIGTERM raises Terminated in the main thread, as Ctrl-C raises KeyboardInterrupt.

    The signal's number is added to ``signals``.
    """

    def terminate(number: int, _: Any) -> None:
        signals.append(number)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
