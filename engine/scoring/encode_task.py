"""The task of a worker that encodes a share of the texts that are new."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...store.progress import Progress
from ..runners.job import BuildShare
from .plan_of_parts import require_seen


class EncodeTask(BuildShare):
    """A share of a file of texts in the folder of the unfinished output."""

    def on_device(self, device: str) -> "EncodeTask":
        """The same share on one of several GPUs."""
        return replace(self, job=replace(self.job, device=device))

    @classmethod
    def from_json(cls, text: str) -> "EncodeTask":
        """The task of :meth:`to_json`."""
        share = BuildShare.from_json(text)
        return cls(share.job, share.share)

    def run(self, *, progress: Progress | None, say: Callable[[str], None] | None) -> dict[str, Any]:
        """Encode the share. Raises WorkerError where this machine does not see the texts."""
        require_seen(self.job.source.names[0])
        return super().run(progress=progress, say=say)
