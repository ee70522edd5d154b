"""Sections on single rows: the worst classified, how long texts are, and where rows lie among each other."""

import numpy as np

from ...pages.charts import bar_chart, line_chart, point_chart
from ...pages.content import Block, Cell, Chart, Column, Note, Table
from ...pages.numbers import number_cell
from ...pages.texts import cut
from .curves import principal_axes
from .rows import Rows

_WORST, _TEXT, _HOVERED, _BINS, _COLOURS, _POINTS = 30, 300, 140, 24, 8, 1500


def worst_rows(rows: Rows | None) -> list[Block]:
    """The rows that are classified wrongly, with the least probability of their label first."""
    if rows is None:
        return []
    wrong = np.flatnonzero(rows.truth != rows.predicted)
    if not len(wrong):
        return [Note("No row is classified wrongly.")]
    columns = [Column("text", is_wide=True)] if rows.texts is not None else []
    columns += [Column("label"), Column("prediction")]
    proba = rows.probabilities
    if proba is not None:
        wrong = wrong[np.argsort(proba[wrong, rows.truth[wrong]], kind="stable")]
        columns += [Column("P(label)", is_number=True), Column("P(prediction)", is_number=True)]
    columns.append(Column("row"))
    cells = []
    for row in wrong[:_WORST]:
        truth, predicted = rows.truth[row], rows.predicted[row]
        line = [Cell(cut(rows.texts[row], _TEXT))] if rows.texts is not None else []
        line += [Cell(rows.labels[truth]), Cell(rows.labels[predicted])]
        if proba is not None:
            line += [number_cell(float(proba[row, truth])), number_cell(float(proba[row, predicted]))]
        line.append(Cell(rows.places[row], kind="quiet"))
        cells.append(line)
    return [Table(columns, cells, f"{len(cells):,} of {len(wrong):,} that are wrong")]


def lengths(rows: Rows | None) -> list[Block]:
    """How long the texts are, how many are cut, and how often predictions are right by length."""
    if rows is None or rows.tokens is None or rows.truncated is None or not len(rows.tokens):
        return []
    tokens, cut = rows.tokens, rows.truncated
    last = max(int(np.quantile(tokens, 0.99)), int(tokens.min()) + 1)
    edges = np.unique(np.linspace(tokens.min(), last + 1, _BINS + 1).astype(int))
    bins = np.clip(np.searchsorted(edges, tokens, side="right") - 1, 0, len(edges) - 2)
    values, right = [], []
    for number in range(len(edges) - 1):
        here = bins == number
        begin, end = int(edges[number]), int(edges[number + 1])
        whole = int((here & ~cut).sum())
        for kind, count in (("whole", whole), ("cut", int(here.sum()) - whole)):
            if count:
                values.append({"from": begin, "to": end, "rows": count, "text": kind})
    for part in np.array_split(np.argsort(tokens, kind="stable"), 8):
        if len(part):
            share = float((rows.truth[part] == rows.predicted[part]).mean())
            right.append({"tokens": float(tokens[part].mean()), "right": share, "what": "predictions"})
    said = f"{cut.sum():,} of {len(cut):,} texts are cut" if cut.any() else "no text is cut"
    bars = bar_chart(values, ("from", "to", "tokens"), ("rows", "rows"), "text", ["whole", "cut"])
    accuracy = line_chart(
        right, ("tokens", "tokens"), ("right", "share that is right"), "what", x_scale={"nice": True}
    )
    return [
        Chart("Length", bars, "rows by tokens", f"{said}; the last bar holds all that are longer"),
        Chart("Right by length", accuracy, "share of right predictions by tokens",
              "eight groups of equally many rows"),
    ]  # fmt: skip


def feature_map(rows: Rows | None) -> list[Block]:
    """Rows where their features lie on the two principal axes, coloured by label; wrong ones are crosses."""
    if rows is None or rows.features is None or rows.texts is None or len(rows.features) < 3:
        return []
    points, explained = principal_axes(rows.features)
    shown = min(len(points), _POINTS)
    frequent = np.argsort(-np.bincount(rows.truth, minlength=len(rows.labels)), kind="stable")[:_COLOURS]
    named = {int(number): rows.labels[number] for number in np.sort(frequent)}
    values = [
        {
            "x": round(float(points[row, 0]), 3), "y": round(float(points[row, 1]), 3),
            "label": named.get(int(rows.truth[row]), "others"),
            "true": rows.labels[rows.truth[row]], "predicted": rows.labels[rows.predicted[row]],
            "is": "right" if rows.truth[row] == rows.predicted[row] else "wrong",
            "text": cut(rows.texts[row], _HOVERED),
        }
        for row in range(shown)
    ]  # fmt: skip
    values.sort(key=lambda value: value["is"])  # those that are wrong are drawn above the others
    labels = [*named.values(), *(["others"] if len(named) < len(rows.labels) else [])]
    hovered = (("text", "text"), ("true", "label"), ("predicted", "prediction"))
    spec = point_chart(values, ("x", "first axis"), ("y", "second axis"), ("label", labels), hovered)
    share = f"{explained.sum():.0%} of the features' variance lies on them"
    caption = f"{shown:,} rows on the two principal axes; {share}"
    return [Chart("Map of the features", spec, caption, caption, is_wide=True)]
