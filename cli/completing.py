"""What a shell is offered to complete: files, folders, heads, and the feature sets of a store.

Nothing is imported that reads data, and no object store is asked.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class FilePath(click.ParamType):
    """A file, a glob or a URL; the shell completes files."""

    name = "path"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Leave it to the shell."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class FolderPath(click.ParamType):
    """A folder, which the shell completes; where some hold a file of this name, these are offered."""

    name = "path"

    def __init__(self, *marks: str):
        self._marks = marks

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The folders that have the file, or all."""
        from click.shell_completion import CompletionItem

        before, _, begun = incomplete.rpartition("/")
        place = Path(before or ("/" if incomplete.startswith("/") else "."))
        found = [
            CompletionItem(f"{before}/{name}" if "/" in incomplete else name)
            for name in _folders(place)
            if name.startswith(begun) and any((place / name / mark).exists() for mark in self._marks)
        ]
        return found or [CompletionItem(incomplete, type="dir")]


class FeatureSetName(click.ParamType):
    """A feature set of the store that the command line names so far."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Its names."""
        from click.shell_completion import CompletionItem

        store = ctx.params.get("store")
        if not isinstance(store, str) or "://" in store:
            return []
        names = [name for name in _folders(Path(store)) if (Path(store) / name / "_delta_log").is_dir()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


_FILE, _FOLDER, _HEAD, _SET = FilePath(), FolderPath(), FolderPath("head.json", "enc.json"), FeatureSetName()
_BY_NAME = {
    **dict.fromkeys(("head", "heads", "head_folder"), _HEAD),
    **dict.fromkeys(("features", "first", "second"), _SET),
    **dict.fromkeys(("store", "model", "models", "other"), _FOLDER),
    **dict.fromkeys(("sources", "train", "data", "inputs", "vectors", "weights", "names", "runs"), _FILE),
    "output": _FILE,
}
_BY_METAVAR = {
    "FILE": _FILE,
    "SOURCE": _FILE,
    "PATH": _FILE,
    "PYTHON": _FILE,
    "OLD.json": _FILE,
    "DIR": _FOLDER,
}
_SET_FLAGS = {"--features", "--name"}


def completed(parameter: click.Parameter) -> click.ParamType | None:
    """What completes the parameter; None where its own type does.

    A parameter's name tells what it is, or else what stands for its value in the help.
    """
    if not isinstance(parameter.type, click.types.StringParamType | click.Path):
        return None
    is_head_kind = parameter.metavar == "KIND"  # `train-head --head mlp`
    if _SET_FLAGS & set(parameter.opts) or (parameter.name == "name" and not parameter.metavar):
        return _SET
    if parameter.metavar in _BY_METAVAR and parameter.name not in _BY_NAME:
        return _BY_METAVAR[parameter.metavar]
    return None if is_head_kind else _BY_NAME.get(str(parameter.name))


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
