"""Charts as SVG, and the runtime that makes them answer to a mouse; see :mod:`pages.svg_worker`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..store.errors import ReportError

_WORKER = Path(__file__).with_name("svg_worker.py")
_MISSING = (
    "reports need the package vl-convert-python, which is not installed; run `pip install vl-convert-python`"
)


class Painter:
    """A process that draws. Begin it early: it takes a second to get ready, and nobody waits for that.

    It is a context manager, and ends with the block, or with the process that began it.
    """

    def __init__(self, cache: Path):
        """``cache`` is a folder in which the runtime is kept. Raises ReportError where nothing can draw."""
        if find_spec("vl_convert") is None:
            raise ReportError(_MISSING)
        self._cache = cache
        try:
            self._process = subprocess.Popen(
                [sys.executable, _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is the command's, which then ends this
            )
        except OSError as error:
            raise ReportError(f"the process that draws charts cannot be started ({error})") from error

    def __enter__(self) -> "Painter":
        # It is made ready now, with what is slow the first time.
        self._send({"runtime_folder": str(self._cache)})
        self._runtime: str | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            for stream in (self._process.stdin, self._process.stdout):
                if stream:
                    stream.close()
        self._process.kill()
        self._process.wait()

    def runtime(self) -> str:
        """The JavaScript of Vega, Vega-Lite and Vega-Embed: 0.9 MB."""
        if self._runtime is None:
            path = Path(self._receive()["path"])
            try:
                self._runtime = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ReportError(f"'{path}' cannot be read ({error}); remove it") from error
        return self._runtime

    def svg(self, spec: Mapping[str, Any]) -> str:
        """A chart's picture. Raises ReportError for a chart that cannot be drawn."""
        self.runtime()  # whose answer comes first
        self._send({"spec": spec})
        return self._receive()["svg"]

    def _send(self, request: Mapping[str, Any]) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ReportError("the process that draws charts has ended; run the command again") from error

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ReportError("the process that draws charts has ended; run the command again")
        answer = json.loads(line)
        if "error" in answer:
            raise ReportError(f"a chart cannot be drawn: {answer['error']}")
        return answer
