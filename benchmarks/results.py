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


@dataclass
class Measurement:
    """One contender: the rate of every repetition, and remarks such as its cosine to a reference."""

    name: str
    unit: str
    rates: list[float] = field(default_factory=list)
    remarks: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    """Why it was not measured; empty if it was."""

    @property
    def median(self) -> float:
        """Median rate; 0 if it was not measured."""
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

    def as_dict(self) -> dict[str, Any]:
        """Everything, with medians and ratios to the baseline."""
        base = next(m for m in self.measurements if m.name == self.baseline).median
        rows = [
            asdict(m) | {"median": m.median, "ratio": m.median / base if base else None}
            for m in self.measurements
        ]
        return asdict(self) | {"measurements": rows}


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
        "processor": _processor(),
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
    for repetition in range(1, repetitions + 1):
        for measurement, run in contenders:
            if measurement.problem:
                continue
            try:
                measurement.rates.append(run())
            except Exception as error:  # a peer may fail in any way, and the others go on
                measurement.problem = (
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                )
            rate = (
                f"{measurement.rates[-1]:,.0f} {measurement.unit}"
                if not measurement.problem
                else measurement.problem
            )
            say(f"[{repetition}/{repetitions}] {measurement.name}: {rate}")


def write_report(results: Results, folder: str | Path) -> Path:
    """Write results.json and report.md, the ratios first; returns the report's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    values = results.as_dict()
    (folder / "results.json").write_text(
        json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    measured = sorted((m for m in values["measurements"] if not m["problem"]), key=lambda m: -m["median"])
    remarks = list(dict.fromkeys(name for m in measured for name in m["remarks"]))
    repetitions = max((len(m["rates"]) for m in measured), default=0)
    lines = [
        f"# {results.benchmark}",
        "",
        f"Ratios to **{results.baseline}**; medians of {repetitions} runs, measured in turn.",
        "",
        "| | ratio | median | lowest to highest |" + "".join(f" {name} |" for name in remarks),
        "| --- | ---: | ---: | ---: |" + " --- |" * len(remarks),
    ]
    for m in measured:
        spread = f"{min(m['rates']):,.0f} to {max(m['rates']):,.0f}"
        cells = [m["name"], f"{m['ratio']:.2f}x", f"{m['median']:,.0f} {m['unit']}", spread]
        lines.append("| " + " | ".join(cells + [str(m["remarks"].get(name, "")) for name in remarks]) + " |")
    missing = [m for m in values["measurements"] if m["problem"]]
    lines += (
        ["", "Not measured:", "", *(f"* {m['name']}: {m['problem']}" for m in missing)] if missing else []
    )
    lines += ["", "Settings: " + ", ".join(f"{k} {v}" for k, v in results.settings.items()) + "."]
    info = results.machine
    versions = ", ".join(f"{k} {v}" for k, v in info["versions"].items() if v)
    where = f"{info['processor']}, {info['cpus']} cpus, {info['torch_threads']} torch threads, {info['gpu'] or 'no GPU'}"
    lines += ["", f"Machine: {where}; {info['system']}, Python {info['python']}; {versions}. {results.time}"]
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
