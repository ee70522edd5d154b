"""`--config run.toml`: options of a command from a file."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

_META = "enc.config"
_TYPED = "enc.typed"
_FLAG = "--config"
_NEVER = {"config_file", "quiet", "verbose", "debug"}


def config_option() -> click.Option:
    """The option of every command."""
    return click.Option(
        [_FLAG, "config_file"],
        is_eager=True,
        expose_value=False,
        callback=_read,
        metavar="FILE",
        help="Take options from this TOML file; those of the command line go first.",
    )


def _read(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    names, found = _names(ctx.command), {}
    for key, given in values_of(value, ctx).items():
        option = names.get(key)
        if option is None:
            from ..store.nearest import did_you_mean

            raise wrong(
                f"'{value}' has '{key}', which is no option of {ctx.command_path}{did_you_mean(key, names)}"
            )
        if given is False and not option.secondary_opts and option.is_flag:
            continue  # a flag that is not given
        found[str(option.name)] = _value(option, key, given, value)
    ctx.meta[_META] = found
    ctx.default_map = {**(ctx.default_map or {}), **found}


def values_of(path: str, ctx: click.Context) -> dict[str, Any]:
    """The values in a file for a command, by names with dashes.

    Tables are those of commands, such as [train-head] or [store-verify]; what stands above them is for any
    command. Raises BadParameter for a file that cannot be read, and a table of no command.
    """
    import tomllib

    from ..store.nearest import did_you_mean, did_you_mean_path

    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise wrong(f"no file '{path}'{did_you_mean_path(path)}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise wrong(f"'{path}' cannot be read as TOML: {error}") from error
    root = ctx.find_root().command
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key in tables:
        if not _is_table(root, key):
            near = did_you_mean(key, _tables(root))
            raise wrong(f"'{path}' has a table [{key}], which is no command{near}")
    own = "-".join(ctx.command_path.split()[1:]) or str(ctx.command.name)
    found = {key: value for key, value in values.items() if key not in tables} | tables.get(own, {})
    return {key.replace("_", "-"): value for key, value in found.items()}


def _is_table(command: click.Command, key: str) -> bool:
    """Whether a table is that of a command, or of one below it. Of all others, no module is imported."""
    if not isinstance(command, click.Group):
        return key == str(command.name)
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        if key == name or key.startswith(f"{name}-"):
            one = command.get_command(ctx, name)
            below = key[len(name) + 1 :]
            if _is_table(one, below) if isinstance(one, click.Group) else not below:
                return True
    return False


def _tables(command: click.Command, path: tuple[str, ...] = ()) -> list[str]:
    """Names of the tables of a command and those below it: `store-verify` is that of `enc store verify`."""
    ctx = click.Context(command)
    if not isinstance(command, click.Group):
        return ["-".join(path) or str(command.name)]
    below = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
    return [table for name, one in below if one is not None for table in _tables(one, (*path, name))]


def typed_command() -> str:
    """The command line as it was typed, with what a file held in the file's place."""
    ctx = click.get_current_context()
    path = ctx.command_path.split()[1:]
    return shlex.join(["enc", *path, *without_config(ctx.meta[_TYPED])[0], *_words(ctx)])


def remember_words(ctx: click.Context, words: list[str]) -> None:
    """Remember what was typed after a command's name."""
    ctx.meta[_TYPED] = list(words)


def without_config(words: Iterable[str]) -> tuple[list[str], str | None]:
    """A command line without the option, and the file that it named last."""
    kept: list[str] = []
    file, is_value = None, False
    for word in words:
        if is_value:
            file, is_value = word, False
        elif word == _FLAG:
            is_value = True
        elif word.startswith(f"{_FLAG}="):
            file = word.partition("=")[2]
        else:
            kept.append(word)
    return kept, file


def _words(ctx: click.Context) -> list[str]:
    """What was taken from a file, as words of a command line."""
    words: list[str] = []
    found = ctx.meta.get(_META, {})
    for option in _names(ctx.command).values():
        source = ctx.get_parameter_source(str(option.name))
        if option.name not in found or source is not click.core.ParameterSource.DEFAULT_MAP:
            continue
        value = found.pop(option.name)  # an option may have several names
        if option.is_flag:
            words.append(option.opts[0] if value == _on(option) else option.secondary_opts[0])
            continue
        for one in value if option.multiple else [value]:
            words += [option.opts[0], *(one if isinstance(one, list) else [one])]
    return words


def _names(command: click.Command) -> dict[str, click.Option]:
    """Options by the names that a file may use."""
    return {
        word.lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option) and option.name not in _NEVER
        for word in [*option.opts, *option.secondary_opts]
        if word.startswith("--")
    }


def _value(option: click.Option, key: str, value: Any, path: str) -> Any:
    """A value as click takes it. Raises BadParameter for what the option cannot take."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise wrong(f"'{key}' in '{path}' is on or off: write true or false, not {value!r}")
        return _on(option) != ((f"--{key}" in option.secondary_opts) == value)
    parts = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not option.multiple:
        raise wrong(f"'{key}' in '{path}' is a list, and the option takes one value")
    if any(isinstance(one, bool | dict) for one in parts):
        raise wrong(f"'{key}' in '{path}' cannot be {value!r}: write a text or a number")
    words = [list(map(str, one)) if isinstance(one, list) else str(one) for one in parts]
    return words if option.multiple else words[0]


def _on(option: click.Option) -> bool:
    """What a flag stands for."""
    value = option.flag_value
    return value if isinstance(value, bool) else True


def wrong(message: str) -> click.BadParameter:
    """What is wrong with a file."""
    return click.BadParameter(message, param_hint=_FLAG)
