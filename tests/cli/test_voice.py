import warnings

import click
import pytest
from click.testing import CliRunner
from enc.cli.command import EncCommand, EncGroup
from enc.cli.grouped_help import options
from enc.cli.voice import note, warn


@click.command("speak", cls=EncCommand, help="Speak.")
@click.option("--loud", is_flag=True, help="Loudly.")
@options(click.option("--rows", help="Rows."), click.option("--columns", help="Columns."), heading="Data")
def speak(loud, rows, columns):
    note("a note")
    warn("a warning")
    warnings.warn("of a library", FutureWarning, stacklevel=1)
    click.echo("the result")


@click.group("top", cls=EncGroup)
def top():
    pass


top.add_command(speak)


def said(*arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = CliRunner().invoke(top, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "the result\n"
    return result.stderr.splitlines(), [str(one.message) for one in caught]


def test_a_plain_command_tells_notes_and_keeps_libraries_quiet():
    assert said("speak") == (["a note", "a warning"], [])


@pytest.mark.parametrize("arguments", [("-q", "speak"), ("speak", "--quiet"), ("-v", "speak", "-q")])
def test_quiet_on_either_side_of_the_command(arguments):
    assert said(*arguments) == (["a warning"], [])


@pytest.mark.parametrize("arguments", [("--verbose", "speak"), ("speak", "-v"), ("-q", "speak", "-v")])
def test_verbose_tells_times_and_warnings_of_libraries(arguments):
    lines, warned = said(*arguments)
    assert [line.partition(" s] ")[2] for line in lines] == ["a note", "a warning"]
    assert warned == ["of a library"]


def test_a_voice_ends_with_its_command():
    said("speak", "-q")
    assert said("speak")[0] == ["a note", "a warning"]


def test_options_stand_below_their_headings():
    lines = CliRunner().invoke(top, ["speak", "--help"]).output.splitlines()
    headings = [line for line in lines if line.endswith(":")]
    assert headings == ["Options:", "Data:", "Common options:"]
    below = lines[lines.index("Data:") : lines.index("Common options:")]
    assert [line.split()[0] for line in below[1:-1]] == ["--rows", "--columns"]


def test_a_misspelt_command_finds_the_nearest():
    result = CliRunner().invoke(top, ["speek"])
    assert result.exit_code == 2
    assert "no such command 'speek'; see `top --help`. Did you mean 'speak'?" in result.stderr
    assert "Did you mean" not in CliRunner().invoke(top, ["xyz"]).stderr


@pytest.mark.parametrize("value", ["1", "true"])
def test_no_color_keeps_colours_out(value):
    @click.command(cls=EncCommand, help="Paint.")
    def paint():
        click.secho("red", fg="red")

    run = CliRunner(env={"NO_COLOR": value})
    assert run.invoke(paint, color=True).output == "red\n"
    assert CliRunner(env={"NO_COLOR": None}).invoke(paint, color=True).output == "\x1b[31mred\x1b[0m\n"
