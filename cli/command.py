"""The commands of `enc`: what all of them have in common."""

import signal
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import click

from .choices import missing_explained, well_spoken
from .completing import completed
from .config_file import config_option, remember_words
from .errors import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    error_line,
    mistyped_in_one_line,
    sigterm_as_interrupt,
)
from .grouped_help import write_groups
from .progress import progress_shown
from .voice import Voice, set_voice, speaking, without_color

_DEBUG = "enc.debug"


def shared_options() -> list[click.Option]:
    """Options that every command has, and that may stand before its name, too."""
    return [
        click.Option(
            ["-q", "--quiet", "quiet"],
            flag_value=Voice.QUIET,
            type=click.UNPROCESSED,
            default=None,
            expose_value=False,
            callback=set_voice,
            help="Tell results and errors alone: no progress, no notes.",
        ),
        click.Option(
            ["-v", "--verbose", "verbose"],
            flag_value=Voice.VERBOSE,
            type=click.UNPROCESSED,
            default=None,
            expose_value=False,
            callback=set_voice,
            help="Tell the time of each stage, and what libraries warn of.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Show the traceback of an error.",
        ),
    ]


class EncCommand(click.Command):
    """A command whose errors are one line on stderr.

    What a user can mend ends with exit code 2; --debug shows where the error began. Ctrl-C ends with
    exit code 130 and SIGTERM with 143, both after what was finished is kept. Any other exception is a
    defect of this program and ends with exit code 1.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params += [config_option(), *shared_options()]
        for parameter in self.params:
            parameter.type = completed(parameter) or well_spoken(parameter.type)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, and remember it for who records it."""
        remember_words(ctx, args)
        with mistyped_in_one_line(ctx), missing_explained():
            return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below the headings of their groups."""
        write_groups(self.get_params(ctx), ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        signals: list[int] = []
        without_color(ctx)
        try:
            as_json = bool(ctx.params.get("as_json"))
            with (
                mistyped_in_one_line(ctx),
                sigterm_as_interrupt(signals),
                speaking(ctx),
                progress_shown(as_json=as_json),
            ):
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own affair
        except KeyboardInterrupt as interrupt:
            _tell(ctx, str(interrupt) or "interrupted")
            # A library may raise a plain KeyboardInterrupt for any signal.
            is_terminated = isinstance(interrupt, Terminated) or signal.SIGTERM in signals
            ctx.exit(TERMINATED if is_terminated else INTERRUPTED)
        except Exception as error:
            line, code = error_line(error)
            _tell(ctx, f"error: {line}")
            ctx.exit(code)


class EncGroup(click.Group):
    """A group of commands, of which a misspelt name finds the nearest."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.params += shared_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command's name."""
        with mistyped_in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named."""
        with mistyped_in_one_line(ctx):
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of a name. Raises UsageError, with the nearest names, where there is none."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            near = nearest_words(name, self.list_commands(ctx))
            ctx.fail(f"No such command '{name}'.{f' Did you mean {near}?' if near else ''}")
        return super().resolve_command(ctx, args)


def nearest_words(name: str, names: Iterable[str]) -> str:
    """The names that one is most like, as words; empty where none is near."""
    import difflib

    near: Sequence[str] = difflib.get_close_matches(name, list(names), n=3)
    return " or ".join(f"'{one}'" for one in near)


def set_debug(ctx: click.Context, value: bool) -> None:
    """Choose whether an error of this command shows its traceback."""
    ctx.meta[_DEBUG] = value or ctx.meta.get(_DEBUG, False)


def _remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    set_debug(ctx, value)


def _tell(ctx: click.Context, line: str) -> None:
    if ctx.meta.get(_DEBUG):
        traceback.print_exc()
    click.echo(line, err=True)
