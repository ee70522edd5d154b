"""Tasks whose workers can be looked at: a worker imports this module by its name."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from enc.store import EncError


@dataclass(frozen=True)
class Square:
    """Squares a number; on the way, kills its worker or fails as often as it is told, or waits until it is
    stopped.
    """

    number: int
    folder: str
    kills: int = 0
    fails: bool = False
    breaks: bool = False
    waits: bool = False
    device: str | None = None

    @property
    def title(self):
        return f"{self.number}/9"

    def on_device(self, device):
        return replace(self, device=device)

    def to_json(self):
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        return cls(**json.loads(text))

    def run(self, *, progress, say):
        mark = Path(f"begun-{self.number}")
        times = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (times + 1))
        if progress and not self.waits:
            progress("working", 0, 2)
        if say:
            say("at work")
        if times < self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails:
            raise EncError(f"{self.number} has no square")
        if self.breaks:
            raise ZeroDivisionError("broken")
        while self.waits:
            self.wait(progress)
        if progress:
            progress("working", 2, 2)
        return {"square": self.number**2, "process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}

    def wait(self, progress):
        try:
            time.sleep(0.1)
            progress("working", 1, 2)
        except KeyboardInterrupt:
            Path(f"kept-{self.number}").touch()
            raise
