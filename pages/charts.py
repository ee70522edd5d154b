"""Charts in Vega-Lite's language: what is drawn, not how.

Colours are the page's own variables, so that one picture serves light, dark and paper.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Values = Sequence[Mapping[str, Any]]

WIDTH, HEIGHT = 300, 190
"""Of a chart's inner part, in pixels; with its axes it fits a phone."""
COLOURS = [f"var(--c{number})" for number in range(10)]
_INK, _QUIET, _GRID, _PAPER = "var(--ink)", "var(--quiet)", "var(--grid)", "var(--paper)"
_FEW_POINTS = 300  # which may be larger
_CROSS = "M-.5,-.3L-.3,-.5L0,-.2L.3,-.5L.5,-.3L.2,0L.5,.3L.3,.5L0,.2L-.3,.5L-.5,.3L-.2,0Z"
_CONFIG: Spec = {
    "aria": False,
    "background": "transparent",
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _QUIET, "titleColor": _QUIET, "titleFontWeight": "normal", "gridColor": _GRID,
        "domainColor": _GRID, "tickColor": _GRID, "labelFontSize": 11, "titleFontSize": 11,
        "labelLimit": 150, "titlePadding": 6,
    },
    "legend": {
        "labelColor": _INK, "titleColor": _QUIET, "titleFontWeight": "normal", "orient": "top",
        "labelFontSize": 11, "titleFontSize": 11, "labelLimit": 130, "symbolLimit": 20, "offset": 6,
        "columns": 3,
    },
    "text": {"fill": _INK, "fontSize": 11},
    "rule": {"stroke": _QUIET},
    "range": {"category": COLOURS},
}  # fmt: skip


def spec_of(values: Values, *, width: int | Spec = WIDTH, height: int | Spec = HEIGHT, **parts: Any) -> Spec:
    """A chart of these rows: ``parts`` are Vega-Lite's (mark and encoding, or layer)."""
    return {
        "width": width,
        "height": height,
        "config": _CONFIG,
        "data": {"values": list(values)},
        **parts,
    }


def quantity(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of numbers."""
    return {"field": escaped(field), "type": "quantitative", "title": title, **more}


def category(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of names, in the order of the rows."""
    return {"field": escaped(field), "type": "nominal", "title": title, "sort": None, **more}


def hover(*fields: tuple[str, str] | tuple[str, str, str]) -> list[Spec]:
    """What is told under the mouse: field, title and, of a number, its format."""
    shown = []
    for field, title, *number in fields:
        one: Spec = {"field": escaped(field), "title": title}
        one |= {"type": "quantitative", "format": number[0]} if number else {"type": "nominal"}
        shown.append(one)
    return shown


def escaped(field: str) -> str:
    """A field's name, in which dots and brackets would otherwise name a part of something."""
    return "".join(f"\\{c}" if c in ".[]\\'\"" else c for c in field)


def line_chart(
    values: Values,
    x: tuple[str, str],
    y: tuple[str, str],
    series: str,
    *,
    colours: Sequence[str] | None = None,
    x_scale: Spec | None = None,
    y_scale: Spec | None = None,
    diagonal: tuple[float, float] | None = None,
    mark_at: float | None = None,
    points: bool = True,
    **more: Any,
) -> Spec:
    """Lines over ``x``, one for each value of ``series``, with their points.

    ``diagonal`` draws a dashed line between two values of both axes, ``mark_at`` a dashed rule at an x.
    """
    axis: Spec = {"tickCount": 6}
    if x_scale is None:
        axis |= {"grid": False}
        if all(float(value[x[0]]).is_integer() for value in values):
            axis |= {"tickMinStep": 1}
    scale = {"nice": False, **(x_scale or {})}
    if "type" not in scale:  # others have no zero
        scale |= {"zero": False}
    encoding = {
        "x": quantity(x[0], x[1], scale=scale, axis=axis),
        "y": quantity(
            y[0], y[1], scale={"zero": False, **(y_scale or {})}, axis={"tickCount": 5, "format": ",.4~r"}
        ),
        "color": category(series, None, scale={"range": list(colours or COLOURS)}),
    }  # fmt: skip
    if len({value[series] for value in values}) < 2:
        encoding["color"]["legend"] = None
    mark: Spec = {"type": "line", "strokeWidth": 2, "clip": True}
    if points:
        mark["point"] = {"size": 28, "filled": True}
    layers: list[Spec] = [
        {
            "mark": mark,
            "encoding": encoding
            | {"tooltip": hover((series, "what"), (x[0], x[1], ".4~g"), (y[0], y[1], ".4~f"))},
        }
    ]
    if diagonal is not None:
        low, high = diagonal
        line = [{x[0]: low, y[0]: low}, {x[0]: high, y[0]: high}]
        layers.insert(
            0,
            {
                "data": {"values": line},
                "mark": {"type": "line", "strokeDash": [4, 4], "color": _QUIET, "strokeWidth": 1},
                "encoding": {"x": quantity(x[0], x[1]), "y": quantity(y[0], y[1])},
            },
        )
    if mark_at is not None:
        layers.insert(
            0,
            {
                "data": {"values": [{x[0]: mark_at}]},
                "mark": {"type": "rule", "strokeDash": [4, 4]},
                "encoding": {"x": quantity(x[0], x[1])},
            },
        )
    return spec_of(values, layer=layers, **more)


def bar_chart(
    values: Values,
    x: tuple[str, str, str],
    y: tuple[str, str],
    series: str,
    order: Sequence[str],
    *,
    form: str = ",.0f",
    **more: Any,
) -> Spec:
    """A histogram: bars between fields ``x[0]`` and ``x[1]``, stacked by ``series`` in this order.

    ``form`` is that of the numbers on the axis.
    """
    begin, end, title = x
    return spec_of(
        values,
        mark={"type": "bar", "binSpacing": 1},
        encoding={
            "x": quantity(begin, title, bin="binned", scale={"zero": False, "nice": False},
                          axis={"tickCount": 6, "grid": False, "format": form}),
            "x2": {"field": escaped(end)},
            "y": quantity(y[0], y[1], axis={"tickCount": 5, "format": "~s"}),
            "color": category(series, None, scale={"domain": list(order), "range": COLOURS},
                              **({"legend": None} if len(order) < 2 else {})),
            "tooltip": hover((series, series), (begin, "from", form), (end, "to below", form),
                             (y[0], y[1], ",.0f")),
        },
        **more,
    )  # fmt: skip


def point_chart(
    values: Values,
    x: tuple[str, str],
    y: tuple[str, str],
    series: tuple[str, Sequence[str]],
    hovered: Sequence[tuple[str, str]],
    **more: Any,
) -> Spec:
    """Points, coloured by ``series`` (a field and its values in their order); where field ``is`` says
    ``wrong``, they are crosses.
    """
    bare = {"labels": False, "ticks": False, "domain": False, "grid": False}
    is_sparse = len(values) < _FEW_POINTS
    field, order = series
    wrong = {"test": "datum.is === 'wrong'"}
    return spec_of(
        values,
        width=more.pop("width", 900),
        height=more.pop("height", 420),
        mark={"type": "point", "filled": True},
        encoding={
            "x": quantity(x[0], x[1], scale={"zero": False}, axis=bare),
            "y": quantity(y[0], y[1], scale={"zero": False}, axis=bare),
            "color": category(field, None, scale={"domain": list(order), "range": COLOURS}),
            "shape": category("is", None, legend={"symbolFillColor": _INK},
                              scale={"domain": ["right", "wrong"], "range": ["circle", _CROSS]}),
            "size": {"condition": {**wrong, "value": 90}, "value": 60 if is_sparse else 22},
            "opacity": {"condition": {**wrong, "value": 1}, "value": 0.75 if is_sparse else 0.5},
            "tooltip": hover(*hovered),
        },
        **more,
    )  # fmt: skip


def scatter_chart(
    values: Values,
    x: tuple[str, str],
    y: tuple[str, str],
    hovered: Sequence[tuple[str, str] | tuple[str, str, str]],
) -> Spec:
    """Points of two numbers each, and a dashed line where these are equal."""
    numbers = [value[one[0]] for value in values for one in (x, y)] or [0, 1]
    axis = {"tickCount": 6, "format": ",.4~r"}
    channels = {
        "x": quantity(x[0], x[1], scale={"zero": False}, axis=axis),
        "y": quantity(y[0], y[1], scale={"zero": False}, axis=axis),
    }
    line = {
        "data": {"values": [{x[0]: end, y[0]: end} for end in (min(numbers), max(numbers))]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": _QUIET, "strokeWidth": 1},
        "encoding": channels,
    }
    points = {
        "mark": {"type": "point", "filled": True, "size": 22, "opacity": 0.5, "color": COLOURS[0]},
        "encoding": {**channels, "tooltip": hover(*hovered)},
    }
    return spec_of(values, layer=[line, points])


def matrix_chart(values: Values, labels: Sequence[str], *, cell: int) -> Spec:
    """A confusion matrix: rows ``true`` by columns ``predicted``, ``share`` of the row and ``rows``."""
    shared = {
        "x": category("predicted", "predicted", scale={"domain": list(labels)},
                      axis={"orient": "top", "labelAngle": 0 if _are_short(labels, cell) else -40,
                            "labelLimit": 90, "domain": False, "ticks": False}),
        "y": category("true", "true", scale={"domain": list(labels)},
                      axis={"labelLimit": 100, "domain": False, "ticks": False}),
        "tooltip": hover(("true", "true"), ("predicted", "predicted"), ("rows", "rows", ",.0f"),
                         ("share", "of the true", ".1%")),
    }  # fmt: skip
    return spec_of(
        values,
        width={"step": cell},
        height={"step": min(cell, 46)},
        layer=[
            {
                "mark": {"type": "rect", "cornerRadius": 2, "stroke": _PAPER, "strokeWidth": 1},
                "encoding": {
                    **shared,
                    "color": {
                        "condition": {"test": "datum.true === datum.predicted", "value": "var(--c2)"},
                        "value": "var(--c5)",
                    },
                    "opacity": quantity("share", None, scale={"domain": [0, 1], "range": [0.06, 0.62]},
                                        legend=None),
                },
            },
            {
                "transform": [{"filter": "datum.rows > 0"}],
                "mark": {"type": "text", "fontSize": 11 if cell > 30 else 9},
                "encoding": {**shared, "text": {"field": "shown", "type": "nominal"}},
            },
        ],
    )  # fmt: skip


def _are_short(labels: Sequence[str], cell: int) -> bool:
    return all(_text_width(label) < cell for label in labels)


def _text_width(text: str) -> float:
    """About how wide a text is, in pixels; Chinese characters take two letters."""
    return sum(12.0 if ord(character) > 0x2E7F else 6.2 for character in text)
