import errno
import os
import signal
from contextlib import suppress

import click
import pytest
from click.testing import CliRunner
from enc.cli.command import EncCommand
from enc.cli.errors import Terminated, error_line
from enc.store import SourceError
from enc.store.duck import workspace


def run(function, *arguments: str):
    return CliRunner().invoke(EncCommand("try", callback=function, help="x"), arguments)


def raising(error: BaseException):
    def function():
        raise error

    return function


def told(*arguments: str) -> str:
    kinds = click.Choice(["linear", "attention"])
    options = [
        click.Option(["--kind"], type=kinds, help="The kind."),
        click.Option(["--rows"], type=click.IntRange(1), help="Rows."),
        click.Option(["--hours"], type=click.FloatRange(0, 1e6), help="Hours."),
        click.Option(["--disk"], type=click.FloatRange(0, min_open=True), help="Of the disk."),
        click.Option(["--store"], required=True, metavar="DIR", help="The features' store."),
    ]
    command = EncCommand("try", callback=lambda **_: None, params=options, help="x")  # type: ignore[arg-type]
    result = CliRunner().invoke(command, arguments, prog_name="enc try")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("error: ")
    return result.stderr.rstrip("\n").removeprefix("error: ")


SEE = "see `enc try --help`"


def test_a_wrong_choice_names_the_nearest():
    wrong = "is not one of 'linear', 'attention'"
    assert told("--store", "s", "--kind", "linaer") == (
        f"invalid value for '--kind': 'linaer' {wrong}; {SEE}. Did you mean 'linear'?"
    )
    assert told("--store", "s", "--kind", "zzz") == f"invalid value for '--kind': 'zzz' {wrong}; {SEE}"


def test_a_missing_option_is_explained():
    assert told() == f"missing option '--store': The features' store; {SEE}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--sotre", "s"), f"no such option '--sotre'; {SEE}. Did you mean '--store'?"),
        (("--ours",), f"no such option '--ours'; {SEE}. Did you mean '--hours'?"),
        (("--a\nb",), f"no such option '--a\\nb'; {SEE}"),
        (("--store",), f"option '--store' requires an argument; {SEE}"),
        (("--store", "s", "--rows", "x"), f"invalid value for '--rows': 'x' is not a valid integer; {SEE}"),
        (("--store", "s", "a", "b\nc"), f"got unexpected extra arguments (a b c); {SEE}"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_told_in_one_line(arguments, line):
    assert told(*arguments) == line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rows", "0"), "0 is not in the range 1 and up"),
        (("--hours", "1e7"), "10000000.0 is not in the range 0 to 1,000,000"),
        (("--disk", "0"), "0.0 is not in the range above 0"),
    ],
)
def test_a_range_is_told_in_words(arguments, said):
    assert told("--store", "s", *arguments) == f"invalid value for '{arguments[0]}': {said}; {SEE}"


def test_a_mistyped_word_of_a_megabyte_has_an_end():
    assert len(told("--" + "x" * 1_000_000)) < 5000


def test_an_argument_that_is_missing_in_a_group_names_the_help_of_its_command(enc):
    line = enc("store", "vacuum", code=2).stderr
    assert line == "error: missing argument 'STORE'; see `enc store vacuum --help`\n"
    line = enc("store", "vacum", code=2).stderr
    assert line == "error: no such command 'vacum'; see `enc store --help`. Did you mean 'vacuum'?\n"
    line = enc("evaluate", "reviews.tsv", "--head", "head", code=2).stderr
    assert (
        line == "error: no such option '--head'; write HEAD without it, as in `enc evaluate HEAD SOURCE…`\n"
    )
    line = enc("store", "vacuum", "--store", "features", code=2).stderr
    assert (
        line
        == "error: no such option '--store'; write STORE without it, as in `enc store vacuum STORE [NAME]`\n"
    )
    assert enc("--stor", code=2).stderr == "error: no such option '--stor'; see `enc --help`\n"
    assert enc("store", code=2).output.startswith("Usage: enc store")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SourceError("no file 'x'"), 2, "error: no file 'x'"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/x"),
            2,
            "error: No space left on device: '/d/x'; free some space, or choose another place",
        ),
        (
            OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"),
            2,
            "error: No space left on device; free some space, or choose another place",
        ),
        (PermissionError(errno.EACCES, "no", "/d/x"), 2, "error: Permission denied: '/d/x'; check its"),
        (OSError(errno.EROFS, "no", "/d/x"), 2, "error: Read-only file system: '/d/x'; choose another place"),
        (IsADirectoryError(errno.EISDIR, "no", "/d"), 2, "error: Is a directory: '/d'"),
        (MemoryError("Unable to allocate 3 TiB"), 2, "error: not enough memory: Unable to allocate 3 TiB"),
        (ValueError("odd\nmany lines"), 1, "error: ValueError: odd (this is a defect of enc; --debug shows"),
        (AssertionError(), 1, "error: AssertionError (this is a defect of enc"),
        (OSError("no number"), 1, "error: OSError: no number (this is a defect of enc"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated("interrupted; go on with: enc …"), 143, "interrupted; go on with: enc …"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, line):
    result = run(raising(error))
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    result = run(raising(error), "--debug")
    assert result.exit_code == code
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1].startswith(line)


def test_click_ends_a_command_in_its_own_ways():
    result = run(raising(click.UsageError("wrong")))
    assert (result.exit_code, result.stderr) == (2, "error: wrong; see `try --help`\n")
    assert run(raising(click.exceptions.Exit(7))).exit_code == 7


def test_sigterm_ends_a_command_as_ctrl_c_does():
    before, cleared = signal.getsignal(signal.SIGTERM), []

    def function():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            cleared.append(True)
            raise

    result = run(function)
    assert (result.exit_code, result.stderr, cleared) == (143, "interrupted\n", [True])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_during_a_query_ends_the_command_as_any_signal_does():
    def function():
        with workspace():
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            raise RuntimeError("Query interrupted")  # as DuckDB does in place of what a handler raises

    result = run(function)
    assert (result.exit_code, result.stderr) == (143, "interrupted\n")


def test_a_message_has_an_end():
    line, code = error_line(SourceError("x" * 1_000_000))
    assert code == 2
    assert len(line) < 5000
