import click
import pytest
from click.testing import CliRunner
from enc.cli.main import main


def commands(command: click.Command, path: tuple[str, ...] = ()):
    """Every command of the tree, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from commands(found, (*path, name))


TREE = dict(commands(main))


def test_all_commands_are_there():
    assert {path[0] for path in TREE if path} >= {"build-features", "train-head", "score", "predict", "store"}


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_and_option_has_help(path):
    command = TREE[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help_is_what_it_was(path, golden):
    result = CliRunner().invoke(
        main, [*path, "--help"], prog_name="enc", env={"COLUMNS": "100"}, terminal_width=100
    )
    assert result.exit_code == 0
    golden(f"help{'-'.join(('', *path))}.txt", result.output.rstrip())


def test_an_unknown_command_is_an_error():
    result = CliRunner().invoke(main, ["bild-features"])
    assert result.exit_code == 2
    assert "no such command" in result.output
