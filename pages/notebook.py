"""What an object shows of itself in a notebook: its name, figures and a table, as a piece of HTML."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .numbers import number_text

_MOST = 30


def piece(
    title: str,
    figures: Mapping[str, Any],
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[Any]] = (),
) -> str:
    """HTML without styles of its own, so that the notebook's apply; texts are escaped.

    Of many rows the first 30 are shown.
    """
    parts = [f"<strong>{escape(title)}</strong>"]
    if figures:
        cells = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in figures)
        values = "".join(f"<td>{escape(number_text(value))}</td>" for value in figures.values())
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody><tr>{values}</tr></tbody></table>")
    if rows:
        titles = "".join(f"<th>{escape(str(name).replace('_', ' '))}</th>" for name in columns)
        lines = "".join(
            f"<tr>{''.join(f'<td>{escape(number_text(value))}</td>' for value in row)}</tr>"
            for row in rows[:_MOST]
        )
        parts.append(f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>")
        if len(rows) > _MOST:
            parts.append(f"<p>… and {len(rows) - _MOST:,} more</p>")
    return f"<div>{''.join(parts)}</div>"
