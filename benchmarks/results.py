"""The format of all benchmarks' results, and the report made of it."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..engine.machine import processor_name
from ..store.files import replaced_file
from ..store.progress import heard_by, tell, unheard

PACKAGES = (
    "enc-features",
    "torch",
    "transformers",
    "openvino",
    "onnxruntime-gpu",
    "sentence-transformers",
    "duckdb",
    "pyarrow",
)


SCHEMA = 2
"""Of results.json, see docs/benchmarks.md. Files without a ``schema`` are of the first, which had no
``details``."""


@dataclass
class Measurement:
    """One contender: the figure of every repetition, and remarks such as its cosine to a reference."""

    name: str
    unit: str
    rates: list[float] = field(default_factory=list)
    """A rate for each repetition, or a time where the unit is one."""
    remarks: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why it was not measured; empty if it was."""

    def fail(self, error: Exception) -> None:
        """Take it out of the field, with the first line of the error as the reason."""
        lines = str(error).splitlines() or [""]
        self.problem = f"{type(error).__name__}: {lines[0]}"

    @property
    def median(self) -> float:
        """Median figure; 0 if it was not measured."""
        return statistics.median(self.rates) if self.rates else 0.0


@dataclass
class Results:
    """One run of a benchmark: what was measured, where, and with which settings."""

    benchmark: str
    baseline: str
    """Name of the measurement that the ratios refer to."""
    settings: dict[str, Any]
    measurements: list[Measurement]
    machine: dict[str, Any]
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    less_is_better: bool = False
    """Whether the figures are times rather than rates."""
    details: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Rows of figures beside the measurements, by name: see docs/benchmarks.md."""

    def as_dict(self) -> dict[str, Any]:
        """Everything, with medians and ratios to the baseline."""
        base = next(m for m in self.measurements if m.name == self.baseline).median
        rows = [
            asdict(m) | {"median": m.median, "ratio": m.median / base if base else None}
            for m in self.measurements
        ]
        return {"schema": SCHEMA, **asdict(self), "measurements": rows}


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """The machine and the versions of what is measured on it: ``PACKAGES``, and these."""
    import torch

    versions = {}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "processor": processor_name(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def in_turn(
    contenders: Sequence[tuple[Measurement, Callable[[], float]]],
    repetitions: int,
    say: Callable[[str], None],
) -> None:
    """Measure all contenders once, then all again: a machine that slows down slows all of them down.

    A contender is a function that gives the rate of one run; an exception takes it out of the field.
    """
    done, total = 0, repetitions * len(contenders)
    for repetition in range(1, repetitions + 1):
        for measurement, run in contenders:
            tell("repeating", done, total)
            done += 1
            if measurement.problem:
                continue
            try:
                with heard_by(unheard):  # nothing is drawn of what is measured
                    measurement.rates.append(run())
                said = figure_text(measurement.rates[-1], measurement.unit)
            except Exception as error:  # a peer may fail in any way, and the others go on
                measurement.fail(error)
                said = measurement.problem
            say(f"[{repetition}/{repetitions}] {measurement.name}: {said}")
    tell("repeating", done, total)


def figure_text(value: float, unit: str = "") -> str:
    """A figure with three digits at the least, and its unit."""
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{shown} {unit}".strip()


def write_report(results: Results, folder: str | Path) -> Path:
    """Write results.json and report.md, the ratios first; returns the report's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    values = results.as_dict()
    with replaced_file(folder / "results.json") as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    direction = 1 if results.less_is_better else -1
    measured = sorted(
        (m for m in values["measurements"] if not m["problem"]), key=lambda m: direction * m["median"]
    )
    remarks = list(dict.fromkeys(name for m in measured for name in m["remarks"]))
    repetitions = max((len(m["rates"]) for m in measured), default=0)
    kind = "Multiples of" if results.less_is_better else "Ratios to"
    lines = [
        f"# {results.benchmark}",
        "",
        f"{kind} **{results.baseline}**; medians of {repetitions} runs, measured in turn.",
        "",
        "| | ratio | median | lowest to highest |" + "".join(f" {name} |" for name in remarks),
        "| --- | ---: | ---: | ---: |" + " --- |" * len(remarks),
    ]
    for m in measured:
        spread = f"{figure_text(min(m['rates']))} to {figure_text(max(m['rates']))}"
        cells = [m["name"], f"{m['ratio']:.2f}x", figure_text(m["median"], m["unit"]), spread]
        lines.append("| " + " | ".join(cells + [str(m["remarks"].get(name, "")) for name in remarks]) + " |")
    missing = [m for m in values["measurements"] if m["problem"]]
    if missing:
        lines += ["", "Not measured:", "", *(f"* {m['name']}: {m['problem']}" for m in missing)]
    lines += ["", "Settings: " + ", ".join(f"{k} {v}" for k, v in results.settings.items()) + "."]
    info = results.machine
    versions = ", ".join(f"{k} {v}" for k, v in info["versions"].items() if v)
    threads = f"{info['cpus']} cpus, {info['torch_threads']} torch threads"
    where = f"{info['processor']}, {threads}, {info['gpu'] or 'no GPU'}; {info['system']}"
    lines += ["", f"Machine: {where}, Python {info['python']}; {versions}. {results.time}"]
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
