"""`enc build-features`"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from .command import EncCommand
from .config_file import typed_command
from .options import (
    backend_options,
    json_option,
    options,
    pairs_option,
    setting_options,
    source_options,
    store_option,
)
from .text import count_text, rejects_line, rows_of, seconds_line, size_text
from .values import backend_values, setting_values, source_of
from .voice import note
from .worker_options import WORKERS_HEADING, worker_options, workers_of

if TYPE_CHECKING:
    from ..engine import BuildSummary, Encoder
    from ..engine.runners.first_pass import FirstPassSummary
    from ..engine.runners.team import Workers
    from ..store import Source


spread_options = options(
    click.option(
        "--share", metavar="K/N", help="Build the Kth of N shares of the texts, such as 3/8: for array jobs."
    ),
    worker_options,
    click.option(
        "--first-pass",
        type=click.Choice(["auto", "always", "never", "only"]),
        default="auto",
        show_default=True,
        help="Read the source once for all workers, into the store; auto: for more than 16; only: no more.",
    ),
    heading=WORKERS_HEADING,
)


@click.command("build-features", cls=EncCommand, short_help="Encode texts once and keep their features.")
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@store_option
@source_options
@pairs_option
@click.option(
    "--model",
    metavar="NAME",
    help="minilm (English, comes with enc), a local folder, or a hub id.  [default: minilm]",
)
@setting_options
@click.option(
    "--name",
    metavar="NAME",
    help="The feature set's name; one that exists gives its setting too.  [default: by setting]",
)
@click.option(
    "--tokens-per-batch",
    type=click.IntRange(1),
    help="Batch size in tokens, padding included.  [default: by device]",
)
@click.option(
    "--commit-minutes",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="How often finished work is committed; a kill costs so much at most.",
)
@backend_options
@spread_options
@json_option
def command(
    sources: tuple[str, ...],
    store: str,
    name: str | None,
    tokens_per_batch: int | None,
    commit_minutes: float,
    share: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Encode the texts of SOURCE… once, and keep their features in a store.

    A SOURCE is a TSV, CSV, JSON-lines or Parquet file, or a quoted glob of them. Texts that were
    encoded before under the same setting, from whatever source, are not encoded again.
    """
    from ..engine import BuildSummary
    from ..store import Share, WorkerError

    if share and values["first_pass"] == "only":
        raise WorkerError("--first-pass only reads the whole source; leave out --share, and pass it later")
    source = source_of(sources, values)
    part = Share.parse(share) if share else Share()
    workers = workers_of(values)
    if source.paths:
        source.file_names()  # a misspelt file should not wait for the model
    encoder = encoder_for(store, name, values)
    seconds = commit_minutes * 60
    build = {"name": name, "tokens_per_batch": tokens_per_batch, "commit_seconds": seconds, "share": part}
    try:
        if workers is None and values["first_pass"] in ("auto", "never"):
            summary = _build(source, store, encoder, build, values["first_pass"])
        else:
            summary = _build_by_workers(source, store, encoder, workers, build, values)
    except KeyboardInterrupt as interrupt:
        again = typed_command()
        raise type(interrupt)(f"interrupted; what was encoded is kept. Go on with: {again}") from None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary), ensure_ascii=False))
    elif isinstance(summary, BuildSummary):
        click.echo(summary_text(summary, store, encoder.spec.first_characters))
    else:
        click.echo(first_pass_text(summary))


def _build(
    source: "Source", store: str, encoder: "Encoder", build: dict[str, Any], first_pass: str
) -> "BuildSummary":
    from ..engine.runners.build import build_alone

    summary = build_alone(source, store, encoder, use_first_pass=first_pass == "auto", **build)
    if explained := encoder.explain():
        note(f"chose {explained}")
    return summary


def _build_by_workers(
    source: "Source",
    store: str,
    encoder: "Encoder",
    workers: "Workers | None",
    build: dict[str, Any],
    values: dict[str, Any],
) -> "BuildSummary | FirstPassSummary":
    from ..engine.runners.build import build_with, first_pass_with
    from ..engine.runners.job import BuildJob
    from ..engine.runners.team import Workers

    asked = {name: values[name] for name in ("model", "backend", "precision", "device")}
    share = build.pop("share")
    job = BuildJob.of(source, store, encoder, **build, **asked)
    with (workers or Workers(1)).team(values["device"], note) as team:
        if values["first_pass"] == "only":
            return first_pass_with(team, job, note)
        return build_with(team, job, share, first_pass=values["first_pass"], say=note)


def encoder_for(store: str, name: str | None, values: dict[str, Any]) -> "Encoder":
    """The encoder asked for by the values of `setting_options`, the model and `backend_options`.

    What is left unsaid comes from the named feature set, if it is there.
    """
    from ..engine import load_encoder
    from ..store import Store
    from ..store.imported import require_encoder
    from ..store.log_folder import has_log

    asked: dict[str, Any] = dict(setting_values(values))
    if values["model"] is not None:
        asked["model"] = values["model"]
    if name and has_log(Store(store).path / name):
        spec = Store(store).open(name).spec
        require_encoder(spec, f"new texts of feature set '{name}'")
        known: dict[str, Any] = {"model": spec.model, **spec.setting}
        if "prompt" in asked:
            del known["prefix"]
        if "pooling" in asked:
            del known["after_pooling"]
        asked = known | asked
    return load_encoder(**asked, **backend_values(values), say=note)


def summary_text(summary: "BuildSummary", store: str, first_characters: int) -> str:
    """The closing lines of a build, in a setting that keeps so many characters of a text; 0: all of them."""
    hint = rate = ""
    if summary.truncated and first_characters:
        hint = f"the setting keeps the first {first_characters} characters of a text"
    elif summary.truncated:
        hint = f"the longest has {summary.longest:,} tokens; a higher --max-length keeps more of them"
    if summary.encoded:
        rate = f"{summary.texts_per_second:,.0f} texts/s"
    lines = [
        ("rows read", f"{summary.rows:,}", ""),
        ("distinct texts", f"{summary.distinct:,}", ""),
        ("in the store", f"{summary.cached:,}", ""),
        ("encoded", f"{summary.encoded:,}", rate),
        ("truncated", f"{summary.truncated:,}", hint),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, summary.rows)),
        ("seconds", f"{summary.seconds['total']:.2f}", seconds_line(summary.seconds)),
    ]
    if summary.encoder:
        what = f"{summary.encoder}; padding {summary.padding:.1%}"
        lines.append(("encoder busy", f"{summary.encoder_busy:.0%}", what))
    text = f"feature set '{summary.feature_set}' in '{store}', version {summary.version}\n{rows_of(lines)}"
    if summary.rejected:
        text += f"\n  first reject: {summary.first_reject}\n  all rejects:  {summary.rejects_file}"
    return text


def first_pass_text(summary: "FirstPassSummary") -> str:
    """The closing lines of a first pass."""
    was_there = summary.files - summary.read
    before = f", {was_there:,} read before" if was_there else ""
    parts = count_text(summary.parts, "part")
    lines = [
        ("files", f"{summary.files:,}", f"{parts} of {size_text(summary.bytes)}{before}"),
        ("rows read", f"{summary.rows:,}", ""),
        ("distinct texts", f"{summary.distinct:,}", "of each part" if summary.parts > 1 else ""),
        ("rejected", f"{summary.rejected:,}", rejects_line(summary.rejects, summary.rows)),
        ("seconds", f"{summary.seconds:.2f}", ""),
    ]
    return f"first pass in '{summary.folder}'\n{rows_of(lines)}"
