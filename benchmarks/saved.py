"""Results that were saved, read back: to be compared with, and to go on from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..store import ReportError
from .results import SCHEMA

Saved = Mapping[str, Any]
"""A results.json of one benchmark."""
_FLOOR = 0.05
"""Of a figure: what two runs of the same may differ by on a machine where nothing else runs."""


def read_saved(path: str | Path) -> list[Saved]:
    """The benchmarks of a results.json. Raises ReportError for what is none."""
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.get("benchmarks", [values])
        if not all(1 <= one.get("schema", 1) <= SCHEMA for one in found):
            raise ReportError(f"'{path}' was written by a newer enc; upgrade enc-features")
        for one in found:
            names = [measured["name"] for measured in one["measurements"]]
            rates = [float(rate) for measured in one["measurements"] for rate in measured["rates"]]
            if not isinstance(one["benchmark"], str) or not names or len(rates) < 0:
                raise ValueError("no measurements")
    except OSError as error:
        raise ReportError(f"'{path}' cannot be read ({error.strerror}); pass a results.json") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"'{path}' is no results.json of `enc bench` ({error!r})") from error
    return found


@dataclass(frozen=True)
class Change:
    """A figure now against the one before."""

    ratio: float
    """How many times as fast it is; below 1 it is slower."""
    noise: float
    """The part by which repetitions of either run stray from their median, or 5% where that is more."""

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the figures differ by more than the repetitions of both do."""
        return self.ratio > 1 + self.noise or self.ratio < 1 / (1 + self.noise)

    @property
    def text(self) -> str:
        """The change for people."""
        if not self.is_beyond_noise:
            return f"{self.ratio:.2f}x, within noise"
        return f"{self.ratio:.2f}x, {'faster' if self.ratio > 1 else 'slower'}"


def changes(now: Saved, before: Sequence[Saved]) -> dict[str, Change]:
    """By name, the measurements of a benchmark that both files have, with one unit and one direction.

    The noise is the sum of both sides' largest distances from their medians, and at the least 5%. One
    repetition tells no noise: then 25% is taken for it.
    """
    names = [one for one in before if one["benchmark"] == now["benchmark"]]
    old = {measured["name"]: measured for one in names for measured in one["measurements"]}
    is_time = bool(now.get("less_is_better"))
    found = {}
    for measured in now["measurements"]:
        other = old.get(measured["name"])
        if other is None or other["unit"] != measured["unit"]:
            continue
        if not other["rates"] or not measured["rates"]:
            continue
        medians = [float(one["median"]) for one in (measured, other)]
        if not all(medians):
            continue
        ratio = medians[1] / medians[0] if is_time else medians[0] / medians[1]
        spread = sum(_spread(one) for one in (measured, other))
        found[measured["name"]] = Change(ratio, max(_FLOOR, spread))
    return found


def differing_settings(now: Saved, before: Sequence[Saved]) -> list[str]:
    """What is set otherwise in the file that is compared with, and another processor, as sentences."""
    told = []
    for one in before:
        if one["benchmark"] != now["benchmark"]:
            continue
        for name, value in now["settings"].items():
            other = one["settings"].get(name)
            if other != value and other is not None:
                told.append(f"{name} was {other}, and is {value}")
        before_on, now_on = (run["machine"].get("processor") for run in (one, now))
        if before_on != now_on:
            told.append(f"the processor was {before_on}, and is {now_on}")
    return told


def _spread(measured: Mapping[str, Any]) -> float:
    """The largest distance of a repetition from the median, as a part of it."""
    rates, median = [float(rate) for rate in measured["rates"]], float(measured["median"])
    if len(rates) < 2:
        return 0.125
    return max(abs(rate - median) for rate in rates) / median
