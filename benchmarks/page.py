"""The page of benchmarks: headline ratios first, then each benchmark with what it tells beside its rates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..engine.encode.model_files import cache_folder
from ..pages.charts import line_chart
from ..pages.comparisons import bars, roofline, trade_off
from ..pages.content import Block, Cell, Chart, Column, Figure, Figures, Note, Page, Section, Table
from ..pages.page import write_page
from ..pages.painter import Painter
from .results import figure_text
from .saved import Change, Saved, changes, differing_settings

TITLES = {
    "encode": "Texts to features",
    "batches": "Shuffled epochs of stored features",
    "batches, tokens": "Shuffled epochs of token features",
    "heads": "Training heads",
    "features": "Writing features",
    "score, known texts": "Scoring known texts",
    "score, new texts": "Scoring new texts",
    "start": "Start-up",
    "fine-tune": "Time against metric",
    "roofline": "Roofline",
}
_LONG = 24
_METRICS = ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr")


def write_results_page(found: Sequence[Saved], folder: str | Path, before: Sequence[Saved] = ()) -> Path:
    """Write report.html of benchmarks into a folder, with what changed since others; returns its path.

    Raises ReportError where nothing can draw.
    """
    with Painter(cache_folder() / "pages") as painter:
        return write_page(page_of(found, before), Path(folder) / "report.html", painter)


def page_of(found: Sequence[Saved], before: Sequence[Saved] = ()) -> Page:
    """The page of one or more benchmarks."""
    sections = [Section("Headlines", _headlines(found))]
    ceilings = next((one for one in found if one["benchmark"] == "roofline"), None)
    for one in found:
        title = _title(one)
        blocks: list[Block] = [_table(one, changes(one, before)), *_notes(one, before)]
        if one["benchmark"] == "encode":
            blocks = [*_encode_charts(one), *blocks]
        elif one["benchmark"] == "fine-tune":
            blocks = [*_time_and_metric(one), *blocks]
        elif one["benchmark"] == "roofline":
            encoded = next((other for other in found if other["benchmark"] == "encode"), None)
            blocks = [*_roofline(one, encoded), *blocks]
        sections.append(Section(title, blocks))
    if ceilings is not None:
        sections.sort(key=lambda section: section.title == TITLES["roofline"])
    machine = found[0]["machine"]
    facts = {
        "processor": f"{machine['processor']}, {machine['cpus']} cpus, {machine['torch_threads']} threads",
        "GPU": str(machine["gpu"] or "none"),
        "system": f"{machine['system']}, Python {machine['python']}",
        "time": str(found[0]["time"]),
        "versions": ", ".join(f"{name} {one}" for name, one in machine["versions"].items() if one),
    }
    return Page("Benchmarks of enc", sections, facts=facts)


def _title(one: Saved) -> str:
    name = str(one["benchmark"])
    return TITLES.get(name, name.capitalize())


def _is_ours(name: str) -> bool:
    return name.startswith(("enc ", "enc,")) or name == "kernel alone, tokenized and packed before"


def _ratio(one: Saved, measured: Any) -> float | None:
    """How many times as fast as the baseline a measurement is."""
    base = next((m["median"] for m in one["measurements"] if m["name"] == one["baseline"]), 0.0)
    if not base or not measured["rates"] or not measured["median"]:
        return None
    return base / measured["median"] if one.get("less_is_better") else measured["median"] / base


def _headlines(found: Sequence[Saved]) -> list[Block]:
    """The best of enc against the baseline of each benchmark that has one of others."""
    figures: list[tuple[float, Figure]] = []
    for one in found:
        ours = [m for m in one["measurements"] if _is_ours(m["name"]) and m["unit"] == _unit(one)]
        rated = [(ratio, m["name"]) for m in ours if (ratio := _ratio(one, m)) is not None]
        if not rated or _is_ours(one["baseline"]) or one["benchmark"] == "start":
            continue
        ratio, name = max(rated)
        title = _title(one)
        value = f"{ratio:.2g}x" if ratio >= 1 else f"{1 / ratio:.2g}x the time"
        figures.append((ratio, Figure(title, value, f"{name}, against {one['baseline']}")))
    figures.sort(key=lambda one: -one[0])
    return (
        [Figures([figure for _, figure in figures])]
        if figures
        else [Note("Nothing was measured that others do, too.")]
    )


def _unit(one: Saved) -> str:
    return next((m["unit"] for m in one["measurements"] if m["name"] == one["baseline"]), "")


def _table(one: Saved, changed: dict[str, Change]) -> Table:
    """The measurements, the best first, with bars of their ratios and what changed."""
    is_time = bool(one.get("less_is_better"))
    measured = [m for m in one["measurements"] if m["rates"] and not m["problem"]]
    measured.sort(key=lambda m: m["median"] if is_time else -m["median"])
    remarks = list(dict.fromkeys(name for m in measured for name in m["remarks"]))
    unit = _unit(one)
    columns = [
        Column("contender", is_wide=True),
        Column("ratio", is_number=True, hint=f"to {one['baseline']}"),
    ]
    columns += [Column("median", is_number=True), Column("lowest to highest", is_number=True)]
    columns += [Column("since", hint="against the file of --compare")] if changed else []
    for name in remarks:
        is_long = any(len(str(m["remarks"].get(name, ""))) > _LONG for m in measured)
        columns.append(Column(name, is_number=not is_long, is_wide=is_long))
    largest = max((_ratio(one, m) or 0 for m in measured if m["unit"] == unit), default=0) or 1
    rows = []
    for m in measured:
        ratio = _ratio(one, m) if m["unit"] == unit else None
        spread = f"{figure_text(min(m['rates']))} to {figure_text(max(m['rates']))}"
        row = [
            Cell(m["name"], kind="best" if _is_ours(m["name"]) else ""),
            Cell(f"{ratio:.2f}x", ratio, bar=ratio / largest) if ratio else Cell("–"),
            Cell(figure_text(m["median"], m["unit"]), m["median"]),
            Cell(spread, kind="quiet"),
        ]
        if changed:
            row.append(_change_cell(changed.get(m["name"])))
        rows.append([*row, *(Cell(str(m["remarks"].get(name, "–"))) for name in remarks)])
    direction = "how many times as fast as" if is_time else "multiples of"
    repetitions = max((len(m["rates"]) for m in measured), default=0)
    caption = f"ratio: {direction} {one['baseline']}; medians of {repetitions}, measured in turn"
    return Table(columns, rows, caption)


def _change_cell(change: Change | None) -> Cell:
    if change is None:
        return Cell("–")
    kind = "quiet" if not change.is_beyond_noise else "good" if change.ratio > 1 else "bad"
    return Cell(change.text, change.ratio, kind)


def _notes(one: Saved, before: Sequence[Saved]) -> list[Block]:
    notes = [
        Note("Settings: " + ", ".join(f"{name} {value}" for name, value in one["settings"].items()) + ".")
    ]
    missing: dict[str, list[str]] = {}  # by the reason, which several often share
    for measurement in one["measurements"]:
        if measurement["problem"]:
            missing.setdefault(measurement["problem"], []).append(measurement["name"])
    notes += [Note(f"Not measured: {'; '.join(names)} ({reason})") for reason, names in missing.items()]
    differing = differing_settings(one, before)
    if differing:
        notes.append(Note("What is compared was not measured alike: " + "; ".join(differing) + "."))
    return [*notes]


def _details(one: Saved, name: str) -> list[dict[str, Any]]:
    return list(one.get("details", {}).get(name, []))


def _encode_charts(one: Saved) -> list[Block]:
    blocks: list[Block] = []
    sizes, stages = _details(one, "batch_sizes"), _details(one, "stages")
    if sizes:
        values = [{**row, "name": row["name"].removeprefix("enc ")} for row in sizes]
        scale = {"type": "log", "base": 2}
        rates = line_chart(values, ("tokens_per_batch", "tokens in a batch"), ("rate", "texts/s"), "name",
                           x_scale=scale, y_scale={"zero": True})  # fmt: skip
        blocks.append(Chart("Throughput", rates, "texts/s by backend and tokens in a batch",
                            "by backend and tokens in a batch"))  # fmt: skip
        last = {row["tokens_per_batch"]: row for row in values}  # padding is that of the batches
        waste = [{**row, "percent": 100 * row["padding"], "name": "padding"} for row in last.values()]
        padding = line_chart(waste, ("tokens_per_batch", "tokens in a batch"), ("percent", "percent"), "name",
                             x_scale=scale, y_scale={"zero": True})  # fmt: skip
        blocks.append(
            Chart("Padding", padding, "percent of tokens that are padding", "percent of all tokens")
        )
    if stages:
        spec = bars(stages, "stage", ("seconds", "seconds"))
        blocks.append(Chart("Stages", spec, "seconds by stage", "of build-features; tokenizing runs beside"))
    return blocks


def _time_and_metric(one: Saved) -> list[Block]:
    """A chart for the first metric that all contenders have."""
    rows = [m for m in one["measurements"] if m["rates"]]
    for metric in _METRICS:
        values = [
            {"name": m["name"], "seconds": 3600 / m["median"], "metric": float(m["remarks"][metric])}
            for m in rows
            if metric in m["remarks"]
        ]
        if len(values) > 1:
            spec = trade_off(values, ("seconds", "seconds"), ("metric", metric.replace("_", " ")), "name")
            return [
                Chart(
                    "Time against metric", spec, f"{metric} by seconds", "whole jobs, from files to figures"
                )
            ]
    return []


def _roofline(ceilings: Saved, encoded: Saved | None) -> list[Block]:
    medians = {m["name"]: m["median"] for m in ceilings["measurements"] if m["rates"]}
    peaks = {name.split()[0]: value for name, value in medians.items() if name.endswith("matrix product")}
    points = [
        {**row, "precision": kind}
        for row in (_details(encoded, "roofline") if encoded else [])
        for kind in peaks
        if kind in row["name"]
    ]
    copied = medians.get("memory copy")
    if not points or not copied:
        return [Note("Run `enc bench all` for what the encoder achieves below these ceilings.")]
    spec = roofline(points, peaks, copied)
    columns = [
        Column("", is_wide=True),
        Column("GFLOP/s", is_number=True),
        Column("of the ceiling", is_number=True),
    ]
    columns += [Column("GB/s", is_number=True), Column("of the copy", is_number=True)]
    rows = []
    for point in sorted(points, key=lambda point: -point["gflops"]):
        of_peak, of_copy = point["gflops"] / peaks[point["precision"]], point["gigabytes_per_second"] / copied
        rows.append([
            Cell(point["name"]),
            Cell(f"{point['gflops']:,.0f}", point["gflops"]),
            Cell(f"{of_peak:.0%}", of_peak, bar=min(1.0, of_peak)),
            Cell(f"{point['gigabytes_per_second']:.2f}", point["gigabytes_per_second"]),
            Cell(f"{of_copy:.0%}", of_copy, bar=min(1.0, of_copy)),
        ])  # fmt: skip
    said = (
        "Work is that of the texts' own tokens, and its time includes tokenizing; bytes are the least that "
        "must move. A ceiling is the fastest matrix product of torch in that precision; others may pass it."
    )
    return [
        Chart(
            "Roofline",
            spec,
            "achieved GFLOP/s below the ceilings",
            "lines are this machine's ceilings",
            is_wide=True,
        ),
        Table(columns, rows),
        Note(said),
    ]
