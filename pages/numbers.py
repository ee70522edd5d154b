"""Figures as people read them."""

import math
from typing import Any

from .content import Cell


def number_text(value: Any) -> str:
    """A figure with four digits after the point, or with its thousands apart; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value.is_integer() and value > 1:
        return f"{value:.0f}"
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.3g}"


def number_cell(value: Any) -> Cell:
    """A cell with a figure, by which its column is sorted, or with a text."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Cell(number_text(value), float(value) if is_number else None)


def setting_cell(value: Any) -> Cell:
    """A cell with a number that somebody chose, as it would be typed, or with a text."""
    return (
        Cell(f"{value:g}", value) if isinstance(value, float) and math.isfinite(value) else number_cell(value)
    )
