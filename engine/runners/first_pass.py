"""The first pass over a source, spread over workers by source file; see :mod:`enc.store.first_pass`."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...store import FeatureSpec, FeatureTable, SourceError, Store, WorkspaceError
from ...store.first_pass import (
    FirstPass,
    digest_of_set,
    expected_bytes,
    finished_first_pass,
    first_pass_of,
    part_facts,
    write_part,
)
from ...store.log_folder import has_log
from ...store.places import free_bytes
from ...store.progress import Progress, heard_by
from .job import BuildJob
from .task import Task


class Team(Protocol):
    """Workers: processes of this machine, or Ray's."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> list[Any]:
        """The results of tasks, in their order."""
        ...


@dataclass(frozen=True)
class FirstPassSummary:
    """What a first pass found and wrote."""

    files: int
    read: int
    """Files that were read; the parts of the others were there."""
    rows: int
    distinct: int
    """Distinct texts or pairs of each file, added up."""
    rejected: int
    rejects: dict[str, int]
    """Rejected rows by reason."""
    bytes: int
    """Of the parts."""
    folder: str
    seconds: float


@dataclass(frozen=True)
class PartTask:
    """The task of writing the part of one file (:class:`.task.Task`); nothing is encoded."""

    job: BuildJob
    first_pass: FirstPass
    number: int
    """Of the file, from 0."""

    @property
    def folder(self) -> str:
        """The current folder of who started the build."""
        return self.job.folder

    @property
    def title(self) -> str:
        """Which file of how many."""
        return f"{self.number + 1}/{len(self.first_pass.parts)} of the first pass"

    @property
    def device(self) -> str | None:
        """None is needed."""
        return "cpu"

    def on_device(self, device: str) -> "PartTask":
        """The task itself."""
        return self

    def to_json(self) -> str:
        """The task as one line of JSON."""
        told = {
            "job": self.job.to_json(),
            "first_pass": dataclasses.asdict(self.first_pass),
            "number": self.number,
        }
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "PartTask":
        """The task of :meth:`to_json`. Raises WorkerError where another enc wrote it."""
        fields: dict[str, Any] = json.loads(text)
        return cls(BuildJob.from_json(fields["job"]), FirstPass(**fields["first_pass"]), fields["number"])

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> None:
        """Write the part."""
        with heard_by(progress):
            write_part(self.job.source, self.first_pass, self.number)


def first_pass_of_job(job: BuildJob) -> FirstPass:
    """The first pass of a job, as its files are now; raises SourceError for pairs that are encoded apart."""
    if job.source.is_separate:
        raise SourceError("shares and workers are for single texts and joint pairs; build each column alone")
    digest = digest_of_set(job.store, job.name, FeatureSpec.from_json(job.spec))
    return first_pass_of(job.source, job.store, job.name, digest)


def finished_of(job: BuildJob) -> FirstPass | None:
    """The first pass of a job, if it lies finished in the store."""
    return finished_first_pass(job.source, job.store, job.name, FeatureSpec.from_json(job.spec))


def make_first_pass(
    team: Team, job: BuildJob, say: Callable[[str], None] | None = None
) -> tuple[FirstPass, FirstPassSummary]:
    """Write the parts that are not there yet, of which each worker takes the next one.

    Raises SourceError for a file that changes meanwhile, SpecError where the feature set has another setting,
    and WorkspaceError where the store's disk has less room than the source's files take up.
    """
    started = time.perf_counter()
    spec, path = FeatureSpec.from_json(job.spec), Store(job.store).path / job.name
    if has_log(path):
        table = FeatureTable(path)
        table.require(spec.laid_out_as(table.spec))
    first_pass = first_pass_of_job(job)
    missing = first_pass.missing()
    if missing:
        _require_room(job, first_pass, missing, say)
        team.run([PartTask(job, first_pass, number) for number in missing])
    if first_pass_of_job(job) != first_pass or first_pass.missing():
        raise SourceError(
            f"files of {job.source.title} changed while they were read; run this again when they are complete"
        )
    rejects: dict[str, int] = {}
    facts = part_facts(first_pass)
    for one in facts:
        for why, rows in one.reasons.items():
            rejects[why] = rejects.get(why, 0) + rows
    rejected = sum(one.rejected for one in facts)
    summary = FirstPassSummary(
        len(facts),
        len(missing),
        sum(one.rows for one in facts) + rejected,
        sum(one.distinct for one in facts),
        rejected,
        dict(sorted(rejects.items(), key=lambda item: (-item[1], item[0]))),
        sum((first_pass.place / name).stat().st_size for name in first_pass.parts),
        first_pass.folder,
        round(time.perf_counter() - started, 3),
    )
    return first_pass, summary


def _require_room(
    job: BuildJob, first_pass: FirstPass, missing: Sequence[int], say: Callable[[str], None] | None
) -> None:
    needed, free = expected_bytes(job.source, missing), free_bytes(Store(job.store).path)
    if say:
        say(f"the first pass writes about {needed / 1e6:,.1f} MB to '{first_pass.folder}'")
    if free is not None and needed > free:
        raise WorkspaceError(
            f"the first pass needs about {needed / 1e6:,.1f} MB in '{first_pass.folder}', and "
            f"{free / 1e6:,.1f} MB are free there; free some space, or pass --first-pass never"
        )
