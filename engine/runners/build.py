"""A build by several workers: each builds shares, of the source itself or of what a first pass made of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...store import Source, Store, default_name
from ...store.first_pass import FirstPass, finished_first_pass
from ...store.share import WHOLE, Share
from ...store.work import remove_work, using
from ..encode.build import BuildSummary, build_features
from ..encode.encoder import Encoder
from .first_pass import FirstPassSummary, finished_of, folder_of_job, make_first_pass
from .job import BuildJob, BuildShare
from .task import Team
from .total import total_of

FIRST_PASS = ("auto", "always", "never")
MOST_SCANNING = 16  # workers that each read the whole source; from here on a first pass costs less
MOST_TASKS = 256
TASK_ROWS = 1 << 20  # of a share, at the least, where there are more shares than workers


def build_with(
    team: Team,
    job: BuildJob,
    share: Share,
    *,
    first_pass: str = "auto",
    say: Callable[[str], None] | None = None,
) -> BuildSummary:
    """Build a share of a job by a team of workers; ``first_pass`` is one of FIRST_PASS.

    By ``auto`` there is a first pass for more than MOST_SCANNING workers, and one that was finished before is
    used in any case. At the end of the whole build it is removed. Raises the first error of any worker.
    """
    started = time.perf_counter()
    if not _wants_first_pass(team, job, first_pass):
        found = _built(team, job, share, team.workers, None)
        return total_of(found, time.perf_counter() - started, team.workers)
    with using(folder_of_job(job)):
        parts, summary = make_first_pass(team, job, say)
        tasks = tasks_for(team.workers, summary.rows // share.count)
        found = _built(team, job, share, tasks, parts)
    if share.is_whole:
        remove_work(parts.place)
    return total_of(found, time.perf_counter() - started, team.workers)


def build_alone(
    source: Source,
    store: Store | str | Path,
    encoder: Encoder,
    *,
    name: str | None = None,
    share: Share = WHOLE,
    use_first_pass: bool = True,
    **build: Any,
) -> BuildSummary:
    """As :func:`enc.engine.encode.build.build_features`, but a first pass that lies finished is used.

    It is removed when the whole is built.
    """
    name = name or default_name(encoder.spec, encoder.layer_count)
    finished = finished_first_pass(source, store, name, encoder.spec) if use_first_pass else None
    if finished is None:
        return build_features(source, store, encoder, name=name, share=share, **build)
    with using(finished.place):
        there = None if finished.missing() else finished  # another build may have ended just now
        summary = build_features(source, store, encoder, name=name, share=share, first_pass=there, **build)
    if share.is_whole:
        remove_work(finished.place)
    return summary


def first_pass_with(team: Team, job: BuildJob, say: Callable[[str], None] | None = None) -> FirstPassSummary:
    """The first pass alone, which all builds of the same source and setting then find in the store."""
    with using(folder_of_job(job)):
        return make_first_pass(team, job, say)[1]


def tasks_for(workers: int, rows: int) -> int:
    """How many shares so many rows are divided into, for workers that take one after the other.

    As many for each, with TASK_ROWS in each as far as there are as many, and MOST_TASKS at the most.
    """
    rounds = min(MOST_TASKS // workers, rows // (workers * TASK_ROWS))
    return workers * max(1, rounds)


def _wants_first_pass(team: Team, job: BuildJob, asked: str) -> bool:
    if asked == "auto":
        return team.workers > MOST_SCANNING or finished_of(job) is not None
    return asked == "always"


def _built(
    team: Team, job: BuildJob, share: Share, tasks: int, first_pass: FirstPass | None
) -> list[BuildSummary]:
    shares = [share.part(number, tasks) for number in range(1, tasks + 1)]
    return [BuildSummary(**one) for one in team.run([BuildShare(job, one, first_pass) for one in shares])]
