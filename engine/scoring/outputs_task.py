"""The task of a worker that computes what heads give for a part of the rows."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...store.progress import Progress, unheard
from .batches_of_ids import are_known
from .part_files import is_whole, write_part
from .plan_of_parts import Plan
from .scorer import outputs_of

_READ: list[Plan] = []
"""The plan that this process read last: a worker takes one part after the other."""


@dataclass(frozen=True)
class OutputsTask:
    """A part of the rows; see :class:`engine.runners.task.Task`. Its outputs are in files, and its result is
    the number of its rows.
    """

    plan: str
    """The folder of :mod:`engine.scoring.plan_of_parts`."""
    part: int
    parts: int
    folder: str = field(default_factory=os.getcwd)
    device: str | None = None

    @property
    def title(self) -> str:
        """The part among all, such as ``part 3/17``."""
        return f"part {self.part + 1}/{self.parts}"

    def on_device(self, device: str) -> "OutputsTask":
        """The same work: heads are computed by processors."""
        return self

    def to_json(self) -> str:
        """The task as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "OutputsTask":
        """The task of :meth:`to_json`."""
        return cls(**json.loads(text))

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> int:
        """Compute what is not there yet. Raises as :class:`engine.scoring.plan_of_parts.Plan`, and HeadError
        for features that are not finite.
        """
        plan = _plan(self.plan)
        bounds = plan.batches.part(self.part)
        first, stop = int(bounds[0]), int(bounds[-1])
        heads = list(zip(plan.heads, plan.rows, plan.group_of, strict=True))
        told = progress or unheard
        done, total = 0, (stop - first) * len(heads)
        plan.hold_texts(first, stop)
        for number, (head, rows, group) in enumerate(heads):
            path = part_file(plan.outputs, number, self.part)
            known = are_known(group.locations, slice(first, stop))
            if not is_whole(path, head.outputs_count, known):
                found = np.full((stop - first, head.outputs_count), np.nan, np.float32)
                for start, end in pairwise(bounds.tolist()):
                    ids = start + np.flatnonzero(known[start - first : end - first])
                    found[ids - first] = outputs_of(head, rows, group.spec, ids)
                    told("computing", done + end - first, total)
                write_part(path, found, known)
            done += stop - first
        return stop - first


def part_file(outputs: Path, head: int, part: int) -> Path:
    """Where a head's outputs on a part are."""
    return outputs / f"{head}-{part}.part"


def _plan(folder: str) -> Plan:
    path = Path(folder)
    if not _READ or _READ[0].path != path:
        _READ[:] = []  # the maps of another plan go first
        _READ.append(Plan(path))
    return _READ[0]
