"""`enc doctor`"""

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from .command import EncCommand
from .options import json_option
from .text import cells_of, size_text

if TYPE_CHECKING:
    from ..engine.doctor import AutoState, BackendState, Diagnosis

_Rows = list[tuple[str, str]]
_SLOW_SECONDS = 0.05


@click.command("doctor", cls=EncCommand, short_help="Tell what this machine and this installation have.")
@click.option("--torch", "ask_torch", is_flag=True, help="Import torch and ask it, too; that takes seconds.")
@json_option
def command(ask_torch: bool, as_json: bool) -> None:
    """Tell what is installed, what the processor has, which backend `auto` takes, and what is missing.

    It looks at the cache folder, and asks whether the hub can be reached unless HF_HUB_OFFLINE is set.
    It changes nothing. Its output is what a report of a problem should contain.
    """
    from ..engine.doctor import diagnose

    found = diagnose(ask_torch=ask_torch)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found)))
        return
    click.echo(diagnosis_text(found))


def diagnosis_text(found: "Diagnosis") -> str:
    """A diagnosis as sections of two aligned columns."""
    processor, cache = found.processor, found.cache
    sections: list[tuple[str, _Rows]] = [
        ("Versions", [(name, version or "not installed") for name, version in found.versions.items()]),
        (
            "Machine",
            [
                ("system", found.system),
                ("processor", f"{processor.name}, {processor.machine}"),
                ("cores", f"{processor.cores}, of which enc uses {processor.threads}"),
                ("memory", _memory_text(processor.memory_bytes, processor.available_bytes)),
                *((name, "yes" if there else "no") for name, there in processor.features.items()),
                ("GPU", found.gpu),
            ],
        ),
    ]
    if found.torch is not None:
        sections.append(("torch says", list(found.torch.items())))
    sections += [
        ("Backends", [(state.name, _backend_text(state)) for state in found.backends]),
        (f"What --backend auto takes for {found.auto.model} on {found.auto.device}", _auto_rows(found.auto)),
    ]
    if found.missing:
        sections.append(("Not installed", list(found.missing.items())))
    sections += [
        (
            "Cache",
            [
                ("folder", cache.folder),
                ("size", size_text(cache.bytes)),
                *((f"  {name}", size_text(size)) for name, size in cache.parts.items()),
            ],
        ),
        ("Hub", [(found.hub.address, found.hub.remark)]),
    ]
    width = max(cells_of(name) for _, rows in sections for name, _ in rows)
    blocks = [
        "\n".join(
            [
                click.style(title, bold=True),
                *(f"  {name}{' ' * (width - cells_of(name))}  {value}".rstrip() for name, value in rows),
            ]
        )
        for title, rows in sections
    ]
    slow = {name: taken for name, taken in found.seconds.items() if taken >= _SLOW_SECONDS}
    shown = "".join(f", {name} {taken:.2f}" for name, taken in sorted(slow.items(), key=lambda one: -one[1]))
    return "\n\n".join([*blocks, f"looked for {sum(found.seconds.values()):.2f} s{shown}"])


def _line_text(name: str, value: str, width: int) -> str:
    return f"  {name}{' ' * (width - cells_of(name))}  {value}".rstrip()


def _memory_text(total: int | None, available: int) -> str:
    whole = f"{size_text(total)}, " if total is not None else ""
    return f"{whole}{size_text(available)} available"


def _backend_text(state: "BackendState") -> str:
    if not state.is_usable:
        return f"no   {state.remark}"
    return f"yes  {' '.join(state.precisions):<14}  {state.remark}".rstrip()


def _auto_rows(auto: "AutoState") -> _Rows:
    if auto.problem:
        return [(auto.model, auto.problem)]
    measured = f"the fastest of {', '.join(auto.measured)}, by measuring"
    if not auto.remembered:
        return [
            ("remembered", "nothing yet"),
            ("small jobs", auto.small_jobs),
            (f"jobs of {auto.worthwhile_seconds:.0f} s and more", measured),
        ]
    rows = [
        (
            f"{known.from_tokens} to {known.to_tokens} tokens",
            f"{known.backend} {known.precision}, remembered: {known.texts_per_second:,.0f} texts/s",
        )
        for known in auto.remembered
    ]
    return [
        *rows,
        ("other lengths", "the nearest of these"),
        (f"jobs of {auto.worthwhile_seconds:.0f} s and more", measured),
    ]
