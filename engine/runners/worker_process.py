"""One worker as a process of this machine, as the process sees it that started it."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from .task import Task, order_of

END_SECONDS = 120.0  # that a worker has to commit what it has encoded


@dataclass(eq=False)
class WorkerProcess:
    """A process that does one task after the other; it starts with its first one."""

    number: int
    """Of the worker, from 1."""
    cores: Sequence[int]
    device: str | None = None
    """Its GPU, where there are several."""
    task: int | None = None
    """The number of the task that it has."""
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    log: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    """What it writes to stderr."""

    def give(self, number: int, task: Task, messages: "Messages") -> None:
        """Have a task done; what happens comes as messages, and ``{"ended": exit code}`` as the last one."""
        self.task = number
        if self.process is None:
            self._start(messages)
        self._write(order_of(task.on_device(self.device) if self.device else task))

    def ended(self) -> int:
        """What ``subprocess`` calls the return code, once the process is known to have ended."""
        assert self.process is not None
        code = self.process.returncode
        self.process = None
        return code

    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _start(self, messages: "Messages") -> None:
        threads = str(max(1, len(self.cores)))
        self.process = subprocess.Popen(
            # Modules of the current folder are the user's, whatever names they have (-P).
            [sys.executable, "-P", "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C comes to us, and we tell the workers
            env=os.environ | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads},
        )
        self._write(json.dumps(list(self.cores)))
        self.reader = threading.Thread(target=self.read, args=(self.process, messages), daemon=True)
        self.reader.start()

    def _write(self, line: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended already, which the reader will tell
            pass

    def read(self, process: subprocess.Popen[str], messages: "Messages") -> None:
        """Put what a process writes among the messages, until it ends."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith("\n"):  # a killed worker may leave half a line
                messages.put((self, json.loads(line)))
        process.wait()
        messages.put((self, {"ended": process.returncode}))


Messages = queue.Queue[tuple[WorkerProcess, dict[str, Any]]]
"""What the workers tell, and who does."""


def end(team: Sequence[WorkerProcess]) -> None:
    """Ask all workers that still run to keep what they have and to end, and wait for them."""
    running = [one.process for one in team if one.process and one.process.poll() is None]
    for process in running:
        process.terminate()
    until = time.monotonic() + END_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for one in team:
        if one.reader:
            one.reader.join()
        one.log.close()
