"""Figures as people read them."""

from collections.abc import Mapping, Sequence
from textwrap import indent


def rows_of(pairs: Sequence[tuple[str, str, str]]) -> str:
    """Lines of name, right-aligned figure and remark."""
    names = max(len(name) for name, _, _ in pairs)
    figures = max(len(figure) for _, figure, _ in pairs)
    return "\n".join(
        f"  {name:<{names}}  {figure:>{figures}}  {remark}".rstrip() for name, figure, remark in pairs
    )


def seconds_line(seconds: dict[str, float]) -> str:
    """Stages with their seconds, the total left out."""
    return ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items() if stage != "total")


def rejects_line(rejects: dict[str, int]) -> str:
    """Reasons with their rows, the most frequent first."""
    shown = [f"{rows:,} {reason}" for reason, rows in rejects.items()]
    if len(shown) > 4:
        shown[4:] = ["…"]
    return ", ".join(shown)


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
    columns = [[title, *cells] for title, cells in zip(titles, zip(*rows, strict=True), strict=True)]
    aligned = []
    for title, cells in zip(titles, columns, strict=True):
        width = max(map(cells_of, cells))
        gaps = [" " * (width - cells_of(cell)) for cell in cells]
        aligned.append(
            [gap + cell if title in right else cell + gap for cell, gap in zip(cells, gaps, strict=True)]
        )
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*aligned, strict=True))


def figures_text(values: Mapping[str, float | None]) -> str:
    """Figures by name, in one line."""
    return " ".join(
        f"{name} {'undefined' if value is None else f'{value:.4f}'}" for name, value in values.items()
    )


def matrix_text(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: rows by true label, columns by predicted label."""
    rows = [[label, *(f"{n:,}" for n in row)] for label, row in zip(labels, matrix, strict=True)]
    return indent(table_text(["true \\ predicted", *labels], rows, right=labels), "  ")
