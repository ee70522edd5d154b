"""Commands and options that prose and messages name exist.

Those of blocks of code are looked at in test_snippets.py.
"""

import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from enc.cli.main import main
from enc.engine.finetune.option_fields import DataOptions, ModelOptions
from manual import PAGES, ROOT

ROOMS = ("benchmarks", "cli", "engine", "pages", "store")
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md"]
MODULES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
FENCED = re.compile(r"^(```+).*?^\1$|<!--.*?-->", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OPTION = re.compile(r"--[a-z][\w-]*")
OF_OTHERS = {"--standalone", "--nproc_per_node", "--no-python", "--any-device"}
"""Of torchrun, and of enc.benchmarks.gpu_kit."""
EXAMPLES = {"--x", "--no_x", "--stroe"}


def in_pages(text: str) -> list[str]:
    """Code of a page's prose: what stands between backticks, and lines that are set in by four."""
    prose = FENCED.sub("", text)
    return [*spans(prose), *lines_of("".join(re.findall(r"\n\n((?: {4,}.*\n)+)", prose)))]


def in_modules(text: str) -> list[str]:
    """Code that a message or docstring names: what stands between backticks, and click's unwrapped lines."""
    return [*spans(text), *lines_of("\n".join(re.findall(r"\x08\n((?:.+\n?)+)", text)))]


def spans(text: str) -> list[str]:
    return [" ".join(span.split()) for span in SPAN.findall(text)]


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in re.sub(r"\\\s*\n", " ", text).splitlines()]


def test_prose_names_commands_that_exist():
    wrong = [
        f"{path.relative_to(ROOT)}: `{said}`: there is no {problem}"
        for path in TEXTS
        for said in in_pages(path.read_text(encoding="utf-8"))
        for problem in problems(said)
    ]
    assert not wrong


def test_prose_names_options_that_exist():
    known = {*all_options(main), *of_fine_tune(), *OF_OTHERS, *EXAMPLES}
    wrong = [
        f"{path.relative_to(ROOT)}: there is no {option}"
        for path in TEXTS
        for said in in_pages(path.read_text(encoding="utf-8"))
        for option in OPTION.findall(said)
        if option not in known
    ]
    assert not wrong


def test_messages_and_docstrings_name_commands_that_exist():
    found = [(path, said) for path in MODULES for text in texts_of(path) for said in in_modules(text)]
    assert sum(is_command(said) for _, said in found) > 100
    wrong = [
        f"{path.relative_to(ROOT)}: `{said}`: there is no {problem}"
        for path, said in found
        for problem in problems(said)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("enc train-head … --solver lbfgs", []),
        ("enc store ls|show STORE", []),
        ("enc COMMAND --help", []),
        ("train-head --auto", []),
        ("enc train-heads", ["command 'train-heads'"]),
        ("enc store lst|show", ["command 'store lst'"]),
        ("enc score --head h --epochs 3", ["option --epochs of 'score'"]),
        ("score --nope", ["option --nope of 'score'"]),
        ("store compact --repair", ["option --repair of 'store compact'"]),
        ("enc … --nope", ["option --nope of any command"]),
    ],
)
def test_what_does_not_exist_is_found(said, problem):
    assert problems(said) == problem


def is_command(said: str) -> bool:
    first, _, rest = said.partition(" ")
    if first == "enc":
        return bool(rest)
    return "--" in rest and first in main.list_commands(click.Context(main))


def problems(said: str) -> list[str]:
    """What a command names that does not exist."""
    if not is_command(said):
        return []
    words = said.removeprefix("enc ").split()
    if words[0].isupper() or words[0] == "…":
        any_of_them = {*all_options(main)}
        return [f"option {one} of any command" for one in OPTION.findall(said) if one not in any_of_them]
    found: list[tuple[str, click.Command]] = [("", main)]
    while words and isinstance(found[0][1], click.Group) and re.match(r"[a-z]", words[0]):
        above, group = found[0]
        found = []
        for name in words.pop(0).split("|"):
            path, command = f"{above} {name}".strip(), group.get_command(click.Context(group), name)
            if command is None:
                return [f"command '{path}'"]
            found.append((path, command))
    return [
        f"option {option} of '{path}'"
        for path, command in found
        for option in OPTION.findall(" ".join(words))
        if option not in options_of(command)
    ]


def options_of(command: click.Command) -> set[str]:
    own = {flag for one in command.params for flag in [*one.opts, *one.secondary_opts]}
    return own | {"--help"} | (of_fine_tune() if command.name == "fine-tune" else set())


@cache
def of_fine_tune() -> set[str]:
    """Options that `enc fine-tune` reads itself, with dashes and underscores."""
    from transformers import TrainingArguments

    names = {
        name
        for group in (ModelOptions, DataOptions, TrainingArguments)
        for one in dataclasses.fields(group)
        for name in [one.name, *(alias.lstrip("-") for alias in one.metadata.get("aliases", ()))]
    }
    return {f"--{name}" for name in names | {name.replace("_", "-") for name in names}}


@cache
def all_options(command: click.Command) -> frozenset[str]:
    found = frozenset(options_of(command))
    if not isinstance(command, click.Group):
        return found
    ctx = click.Context(command)
    below = [command.get_command(ctx, name) for name in command.list_commands(ctx)]
    return found.union(*(all_options(one) for one in below if one))


def texts_of(path: Path) -> Iterator[str]:
    """Texts in a module's code; what an f-string fills in is X."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value
