"""The first pass over a source, whose pieces are spread over workers; see :mod:`enc.store.first_pass`."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...store import FeatureSpec, FeatureTable, SourceError, Store, WorkspaceError
from ...store.first_pass import (
    FirstPass,
    digest_of_set,
    finished_first_pass,
    first_pass_of,
    folder_for,
    part_facts,
    write_part,
)
from ...store.log_folder import has_log
from ...store.places import Place, free_bytes
from ...store.progress import Progress, heard_by
from ...store.source_parts import Piece, expected_bytes, parts_of
from .job import BuildJob
from .task import Team


@dataclass(frozen=True)
class FirstPassSummary:
    """What a first pass found and wrote."""

    files: int
    read: int
    """Files of which something was read; the parts of the others were there."""
    rows: int
    distinct: int
    """Distinct texts or pairs of each part, added up."""
    rejected: int
    rejects: dict[str, int]
    """Rejected rows by reason."""
    parts: int
    """One of each file, or several of a large one."""
    bytes: int
    """Of the parts."""
    folder: str
    seconds: float


@dataclass(frozen=True)
class PartTask:
    """The task of writing the part of one piece of a source (:class:`.task.Task`); nothing is encoded."""

    job: BuildJob
    parts: str
    """The folder of the first pass."""
    part: str
    piece: Piece
    title: str
    """Which piece of how many."""

    @classmethod
    def of(cls, job: BuildJob, parts: str, part: str, piece: Piece, title: str) -> "PartTask":
        """The task of a piece of a job's source; a worker is told of no other file."""
        source = job.source if job.source.query else replace(job.source, paths=(piece.file,))
        return cls(replace(job, source=source), parts, part, piece, title)

    @property
    def folder(self) -> str:
        """The current folder of who started the build."""
        return self.job.folder

    @property
    def device(self) -> str | None:
        """None is needed."""
        return "cpu"

    def on_device(self, device: str) -> "PartTask":
        """The task itself."""
        return self

    def to_json(self) -> str:
        """The task as one line of JSON."""
        told = [self.job.to_json(), self.parts, self.part, self.piece.to_json(), self.title]
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "PartTask":
        """The task of :meth:`to_json`. Raises WorkerError where another enc wrote it."""
        job, parts, part, piece, title = json.loads(text)
        return cls(BuildJob.from_json(job), parts, part, Piece.from_json(piece), title)

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> bool:
        """Write the part; returns whether it is written: see :func:`write_part`."""
        with heard_by(progress):
            return write_part(self.job.source, self.parts, self.part, self.piece) is not None


def first_pass_of_job(job: BuildJob) -> FirstPass:
    """The first pass of a job, as its files are now."""
    digest = digest_of_set(job.store, job.name, FeatureSpec.from_json(job.spec))
    return first_pass_of(job.source, job.store, job.name, digest)


def folder_of_job(job: BuildJob) -> Place:
    """The folder of a job's first pass."""
    digest = digest_of_set(job.store, job.name, FeatureSpec.from_json(job.spec))
    return folder_for(job.source, job.store, job.name, digest)


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
    first_pass, read = first_pass_of_job(job), set[str]()
    while missing := first_pass.missing():
        pieces = parts_of(job.source, first_pass.place)
        if not pieces.keys() >= set(missing):
            raise _changed(job)
        read |= {pieces[part].file for part in missing}
        _require_room(job, first_pass, [pieces[part] for part in missing], say)
        title = "{}/{} of the first pass"
        written = team.run(
            [
                PartTask.of(job, first_pass.folder, part, pieces[part], title.format(number, len(missing)))
                for number, part in enumerate(missing, 1)
            ]
        )
        if all(written):
            break
        first_pass = first_pass_of_job(job)  # files of which pieces cannot be read apart are one piece now
    if first_pass_of_job(job) != first_pass or first_pass.missing():
        raise _changed(job)
    rejects: dict[str, int] = {}
    facts = part_facts(first_pass)
    for one in facts:
        for why, rows in one.reasons.items():
            rejects[why] = rejects.get(why, 0) + rows
    rejected = sum(one.rejected for one in facts)
    summary = FirstPassSummary(
        len({one.file for one in facts}),
        len(read),
        sum(one.rows for one in facts) + rejected,
        sum(one.distinct for one in facts),
        rejected,
        dict(sorted(rejects.items(), key=lambda item: (-item[1], item[0]))),
        len(first_pass.parts),
        sum((first_pass.place / name).stat().st_size for name in first_pass.parts),
        first_pass.folder,
        round(time.perf_counter() - started, 3),
    )
    return first_pass, summary


def _changed(job: BuildJob) -> SourceError:
    return SourceError(
        f"files of {job.source.title} changed while they were read; run this again when they are complete"
    )


def _require_room(
    job: BuildJob, first_pass: FirstPass, pieces: Sequence[Piece], say: Callable[[str], None] | None
) -> None:
    needed, free = expected_bytes(pieces), free_bytes(Store(job.store).path)
    if say:
        say(f"the first pass writes about {needed / 1e6:,.1f} MB to '{first_pass.folder}'")
    if free is not None and needed > free:
        raise WorkspaceError(
            f"the first pass needs about {needed / 1e6:,.1f} MB in '{first_pass.folder}', and "
            f"{free / 1e6:,.1f} MB are free there; free some space, or pass --first-pass never"
        )
