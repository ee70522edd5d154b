"""Charts of benchmarks: bars, figures against time, and the roofline."""

from typing import Any

from .charts import COLOURS, Spec, Values, category, hover, quantity, spec_of

_LOG = {"type": "log", "nice": False}


def bars(values: Values, name: str, x: tuple[str, str], number: str = ".3~g") -> Spec:
    """A bar for each row: ``name`` beside it, and field ``x[0]`` as its length."""
    longest = max([float(value[x[0]]) for value in values], default=1.0)
    return spec_of(
        values,
        height={"step": 26},
        layer=[
            {"mark": {"type": "bar", "color": COLOURS[0], "cornerRadiusEnd": 2, "height": 18}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5},
                "encoding": {"text": {"field": x[0], "type": "quantitative", "format": number}},
            },
        ],
        encoding={
            "y": category(name, None, axis={"domain": False, "ticks": False, "labelLimit": 120}),
            "x": quantity(
                x[0],
                x[1],
                scale={"domain": [0, longest * 1.2 or 1.0], "nice": False},
                axis={"tickCount": 5, "format": "~s" if longest >= 10_000 else ",.3~r"},  # "m" is no minute
            ),
            "tooltip": hover((name, name), (x[0], x[1], number)),
        },
    )


def trade_off(values: Values, x: tuple[str, str], y: tuple[str, str], name: str) -> Spec:
    """Points with a name each: a figure ``y`` that was reached in time ``x``, whose axis is logarithmic."""
    return spec_of(
        values,
        mark={"type": "point", "filled": True, "size": 110},
        encoding={
            "x": quantity(x[0], x[1], scale={"type": "log"}, axis={"tickCount": 5, "format": "~g"}),
            "y": quantity(y[0], y[1], scale={"zero": False, "padding": 16},
                          axis={"tickCount": 5, "format": ".3~f"}),
            "color": category(name, None, scale={"range": COLOURS},
                              legend={"columns": 1, "labelLimit": 330}),
            "tooltip": hover((name, name), (x[0], x[1], ".3~g"), (y[0], y[1], ".4~f")),
        },
    )  # fmt: skip


def roofline(points: Values, peaks: dict[str, float], gigabytes: float) -> Spec:
    """What was achieved below what the machine can do: GFLOP/s by FLOPs for a byte, both logarithmic.

    ``points`` have ``name``, ``precision``, ``gflops`` and ``flops_per_byte``; ``peaks`` are GFLOP/s by
    precision, ``gigabytes`` what memory delivers in a second.
    """
    names = list(peaks)
    lowest = min([peak / gigabytes for peak in peaks.values()], default=1.0) / 8
    highest = max([*(float(point["flops_per_byte"]) for point in points), 1.0]) * 4
    highest = max(highest, max(peaks.values(), default=1.0) / gigabytes * 4)
    roofs: list[dict[str, Any]] = []
    for name, peak in peaks.items():
        for place in (lowest, peak / gigabytes, highest):
            roofs.append({"precision": name, "flops_per_byte": place, "gflops": min(peak, gigabytes * place)})
    lowest_point = min([float(point["gflops"]) for point in points], default=1.0)
    bottom = min(lowest * gigabytes, lowest_point / 2)
    top = max([*peaks.values(), *(float(point["gflops"]) for point in points)], default=1.0) * 1.4
    shared = {
        "x": quantity("flops_per_byte", "FLOP a byte", scale={**_LOG, "domain": [lowest, highest]},
                      axis={"tickCount": 5, "format": "~s"}),
        "y": quantity("gflops", "GFLOP/s",
                      scale={**_LOG, "domain": [bottom, top]},
                      axis={"tickCount": 5, "format": "~s"}),
        "color": category("precision", None, scale={"domain": names, "range": COLOURS}),
    }  # fmt: skip
    return spec_of(
        points,
        width=460,
        height=300,
        layer=[
            {
                "data": {"values": roofs},
                "mark": {"type": "line", "strokeWidth": 2, "clip": True},
                "encoding": {
                    **shared, "tooltip": hover(("precision", "ceiling"), ("gflops", "GFLOP/s", ",.0f")),
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90},
                "encoding": {
                    **shared,
                    "tooltip": hover(("name", "name"), ("gflops", "GFLOP/s", ",.0f"),
                                     ("gigabytes_per_second", "GB/s", ".2~f"),
                                     ("flops_per_byte", "FLOP a byte", ",.0f")),
                },
            },
        ],
    )  # fmt: skip
