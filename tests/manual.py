"""The pages of the manual, and the blocks of code in them.

A block is fenced, and is `sh`, `python` or `pycon`; others are shown and not run. An HTML comment in the
lines before a block says how it is tested:

    <!-- test: slow: trains a whole model -->      run by `make slow` alone
    <!-- test: not run: needs a cluster -->        `make slow` tells it; its commands and options must exist
    <!-- test: exit 3 -->                          the exit code, of a block of one command
    <!-- test: prints: 640 texts encoded -->       what must stand in the output

A comment `<!-- before:` holds shell commands that the reader does not see, and that the next blocks need.
"""

import itertools
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "DESCRIPTION.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("sh", "python", "pycon", "before")
_PIECE = re.compile(
    r"^<!-- test: (?P<mark>.*?) -->$"
    r"|^<!-- before:\n(?P<before>.*?)^-->$"
    r"|^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """Code of a page, and how it is tested."""

    page: str
    line: int
    language: str
    code: str
    slow: str = ""
    not_run: str = ""
    exit_code: int = 0
    prints: list[str] = field(default_factory=list)

    @property
    def commands(self) -> list[list[str]] | None:
        """Words of the commands, where all are of enc and a shell is not needed; else None."""
        text = re.sub(r"\\\n\s*", " ", self.code)
        try:
            lines = [shlex.split(line, comments=True) for line in text.splitlines()]
        except ValueError:
            return None
        lines = [line for line in lines if line]
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|(^|\s)#.*", "", text)
        if re.search(r"[|<>$;&`*~]", bare) or any(line[0] != "enc" for line in lines):
            return None
        return lines

    @property
    def commands_of_enc(self) -> list[list[str]]:
        """Words of each command of enc, also of those that stand among others."""
        text = re.sub(r"\\\n\s*", " ", self.code)
        found = re.findall(r"^(?:[A-Z_]+=\S+ |torchrun .*--no-python |time )*(enc .*)$", text, re.MULTILINE)
        return [_words(line) for line in found]


def _words(line: str) -> list[str]:
    """Words of a command, up to what its shell does with it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>;&")
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: not set(word) <= set("|>;&"), lexer))


def blocks(path: Path) -> list[Block]:
    """The blocks of a page that are to be run, in order."""
    text, found, marks = path.read_text(encoding="utf-8"), [], []
    page = path.relative_to(ROOT).as_posix()
    for piece in _PIECE.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if piece["mark"] is not None:
            marks.append(piece["mark"])
            continue
        language = "before" if piece["before"] is not None else piece["language"].strip()
        block = Block(page, line, language, piece["before"] or piece["code"] or "")
        for mark in marks:
            _apply(block, mark)
        marks = []
        if language in RUN:
            found.append(block)
    if marks:
        raise ValueError(f"{page}: no block follows the mark '{marks[0]}'")
    return found


def _apply(block: Block, mark: str) -> None:
    kind, _, value = mark.partition(": ")
    if kind == "slow":
        block.slow = value
    elif kind == "not run":
        block.not_run = value
    elif kind == "prints":
        block.prints.append(value)
    elif re.fullmatch(r"exit \d+", kind):
        block.exit_code = int(kind.split()[1])
    else:
        raise ValueError(f"{block.page}:{block.line}: unknown mark '{mark}'")
    if kind in ("slow", "not run") and not value:
        raise ValueError(f"{block.page}:{block.line}: the mark '{kind}' tells no reason")
