"""Figures as people read them."""

import shutil
from collections.abc import Mapping, Sequence
from textwrap import indent

_LEAST_CELLS, _MOST_CELLS = 60, 200
_PLAIN_CELLS = 140  # where there is no terminal
_LAST_CELLS = 20  # that the last column has at least


def rows_of(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Lines of name, right-aligned figure and remark."""
    return indent(_aligned(pairs, (False, True, False)), "  ")


def seconds_line(seconds: dict[str, float]) -> str:
    """Stages with their seconds, the total left out."""
    return ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items() if stage != "total")


def rejects_line(rejects: dict[str, int], rows: int) -> str:
    """Reasons with their rows, the most frequent first; and the way out where most rows are not UTF-8."""
    shown = [f"{rows:,} {reason}" for reason, rows in rejects.items()]
    if len(shown) > 4:
        shown[4:] = ["…"]
    is_other_encoding = 2 * rejects.get("invalid UTF-8", 0) > rows
    return ", ".join(shown) + is_other_encoding * "; is it GB18030? iconv -f GB18030 -t UTF-8 writes it anew"


def count_text(number: int, thing: str) -> str:
    """A number of things, in the singular where there is one."""
    return f"1 {thing}" if number == 1 else f"{number:,} {thing}s"


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def cells_of(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fitted(text: str, cells: int) -> str:
    """A text in one line of at most so many columns, cut with a dot; control characters become spaces."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * cells])
    line = " ".join(line.split())
    if cells_of(line) <= cells and len(text) <= 4 * cells:
        return line
    from rich.cells import set_cell_size

    return set_cell_size(line, min(cells_of(line), max(0, cells - 1))).rstrip() + "…"


def table_text(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A table below its titles; the columns of the titles in ``right`` are aligned on the right."""
    return _aligned([titles, *rows], [title in right for title in titles])


def _aligned(rows: Sequence[Sequence[str]], are_right: Sequence[bool]) -> str:
    """Rows of cells as lines; the columns that ``are_right`` are aligned on the right."""
    widths = [max(map(cells_of, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        gaps = [" " * (width - cells_of(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            gap + cell if is_right else cell + gap
            for cell, gap, is_right in zip(row, gaps, are_right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def table_in_terminal(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """An indented table whose last column is cut to what the terminal has left."""
    width = shutil.get_terminal_size((_PLAIN_CELLS, 24)).columns
    others = zip(*[row[:-1] for row in [titles, *rows]], strict=True)
    taken = sum(max(map(cells_of, column)) + 2 for column in others)
    left = max(_LAST_CELLS, min(_MOST_CELLS, max(_LEAST_CELLS, width)) - taken - 2)
    shown = [[*row[:-1], fitted(row[-1], left)] for row in rows]
    return indent(table_text(titles, shown, right=right), "  ")


def figures_table(columns: Mapping[str, Mapping[str, float | None]]) -> str:
    """Figures by name, a line each, of one or several sets of rows side by side."""
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    rows = [
        [name, *(figure_text(figures[name]) if name in figures else "" for figures in columns.values())]
        for name in names
    ]
    return indent(table_text(["", *columns], rows, right=list(columns)), "  ")


def figure_text(value: float | None) -> str:
    """A figure with four digits after the point."""
    return "undefined" if value is None else f"{value:.4f}"


def figures_text(values: Mapping[str, float | None]) -> str:
    """Figures by name, in one line."""
    return " ".join(f"{name} {figure_text(value)}" for name, value in values.items())


def matrix_text(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: rows by true label, columns by predicted label."""
    rows = [[label, *(f"{n:,}" for n in row)] for label, row in zip(labels, matrix, strict=True)]
    return indent(table_text(["true \\ predicted", *labels], rows, right=labels), "  ")
