"""What a run of scoring has finished so far: a folder beside its output, with which the next run goes on.

    OUTPUT.enc-part/            of a folder: OUTPUT/.enc-part/
        lock                    held by the run that is at work
        journal                 the settings, what was found and chosen, and what is finished
        rows-0.part             the output's rows; finished row groups stay when a process is killed
        features-0/             features of texts that no store has, where none is to have them
        texts-0.npy             which texts were to be encoded, one bit a row
        the query.parquet       the rows of a query

Nothing counts that the journal does not tell, and the journal tells nothing that is not on the disk. The
folder goes when all is written. Where a file system has no locks, every run has a folder of its own, and none
goes on.
"""

import base64
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ...store import SourceError
from ...store.files import replaced_file, sync
from ...store.journal import Journal
from .partial_file import Part
from .tally import Tally
from .unfinished_folder import folder_of, locked

OF_ROWS = {"columns", "proba", "top-k", "threshold", "label column"}
"""Settings that the features do not depend on."""


class OtherRun(SourceError):
    """What an interrupted run left is of another run than this one."""


@dataclass(frozen=True)
class Finished:
    """Rows of an output file that are on the disk."""

    part: Part
    batches: int
    """Batches of input that they came from."""
    tally: Tally


class Unfinished:
    """The folder, locked; a context manager, which removes the folder if nothing in it is worth keeping."""

    def __init__(self, output: str | Path):
        """Raises SourceError where another process is writing the same output."""
        self.output = output
        self._has_more: Callable[[], bool] | None = None
        """Whether workers of this run have kept something; None where those of another run have."""
        self._made = [path for path in folder_of(output).parents if not path.exists()]
        self.folder, self._lock = locked(folder_of(output))
        self._read()
        if not self._journal.entries:
            self.clear()

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is None or not self.is_begun:
            self.remove()
        if self._lock:
            self._lock.release()

    @property
    def is_begun(self) -> bool:
        """Whether there is something to go on with."""
        if self._of_job or self.last("encoding"):
            return True
        return self.last("divided") is not None and (self._has_more is None or self._has_more())

    def begin(self, settings: Mapping[str, Any], *, overwrite: bool, say: Callable[[str], None]) -> None:
        """Go on with what an interrupted run of these settings finished, or begin.

        Where only the added columns differ, encoded texts stay, and written rows are dropped. What is there
        of any other run is dropped with ``overwrite``. Raises OtherRun without it.
        """
        known = self.last("settings")
        names = [
            name for name in {**(known or {}), **settings} if (known or {}).get(name) != settings.get(name)
        ]
        if known is None or not self.is_begun:
            self.clear()
            self.note("settings", settings)
        elif not names:
            say(f"going on with what an interrupted run left in '{self.folder}'")
        elif set(names) <= OF_ROWS:
            say(f"going on with the texts that an interrupted run encoded; it had another {', '.join(names)}")
            self.note("settings", settings)
            for job in list(self._of_job):
                self.begin_again(job)
        elif overwrite:
            say(f"what an interrupted run left of '{self.output}' is dropped: another {', '.join(names)}")
            self.clear()
            self.note("settings", settings)
        else:
            raise self.other_run(", ".join(names))

    def other_run(self, what: str) -> OtherRun:
        """The error for what an interrupted run left, and which is of another run."""
        return OtherRun(
            f"an interrupted run began '{self.output}' with another {what}; repeat its command to finish it, "
            "or pass --overwrite to begin anew"
        )

    def divide(self, has_more: Callable[[], bool]) -> None:
        """Note that workers do a part of the work now, which is worth keeping if there ``has_more`` at the
        end.
        """
        if self.last("divided") is None:
            self._has_more = has_more
            self.note("divided", True)

    def last(self, name: str) -> Any:
        """What was noted last under a name; None where nothing was."""
        return next((one[name] for one in reversed(self._journal.entries) if name in one), None)

    def note(self, name: str, value: Any, *, is_urgent: bool = False) -> None:
        """Note something, which is on the disk when this returns, or with what is urgent next."""
        self._journal.append({name: value}, is_urgent=is_urgent)

    def write_texts(self, number: int, wanted: np.ndarray) -> None:
        """Keep which texts a group of heads lacked, bool [ids]."""
        with replaced_file(self.folder / f"texts-{number}.npy") as part:
            np.save(part, np.packbits(wanted))

    def texts(self, number: int, ids: int) -> np.ndarray | None:
        """What :meth:`write_texts` kept, bool [ids]; None where there is nothing."""
        path = self.folder / f"texts-{number}.npy"
        if not path.exists():
            return None
        return np.unpackbits(np.load(path, allow_pickle=False), count=ids).astype(np.bool_)

    def encoding(self, number: int) -> dict[str, Any] | None:
        """What :meth:`note_encoding` noted of a group; None where nothing was."""
        found = (one["encoding"] for one in reversed(self._journal.entries) if "encoding" in one)
        return next((one for one in found if one["group"] == number), None)

    def note_encoding(self, number: int, title: str, tokens: int, way: Mapping[str, Any]) -> None:
        """Note what encodes the texts of a group of heads: its title, tokens a batch, and how it is had."""
        self.note("encoding", {"group": number, "title": title, "tokens": tokens, "way": way}, is_urgent=True)

    def rows_file(self, job: int) -> Path:
        """The file in the making of an output."""
        return self.folder / f"rows-{job}.part"

    def finished(self, job: int) -> list[Finished]:
        """What is finished of an output file, in order."""
        found: list[Finished] = []
        for entry in self._of_job.get(job, ()):
            if "footer" in entry:
                part = Part(entry["end"], entry["checksum"], base64.b64decode(entry["footer"]))
                found.append(Finished(part, entry["batches"], Tally.from_json(entry["tally"])))
            elif "again" in entry:
                found = []
        return found

    def add(self, job: int, finished: Finished) -> None:
        """Note that more rows of an output are on the disk."""
        part = finished.part
        self._add(
            job,
            end=part.end,
            checksum=part.checksum,
            footer=base64.b64encode(part.footer).decode(),
            batches=finished.batches,
            tally=finished.tally.to_json(),
        )

    def begin_again(self, job: int) -> None:
        """Drop what is finished of an output."""
        self._add(job, again=True)
        self.rows_file(job).unlink(missing_ok=True)

    def place(self, job: int, output: Path, written: os.stat_result, tally: Tally) -> None:
        """Put a whole file in its place, whatever is there."""
        self._add(job, whole=_identity(written), tally=tally.to_json())
        self._move(job, output)

    def placed(self, job: int, output: Path) -> Tally | None:
        """The counts of a file that is in its place, which it is now if it was whole; None if it is not."""
        found = self._whole(job)
        if found is None:
            return None
        if _identity_of(output) != found["whole"]:
            if _identity_of(self.rows_file(job)) != found["whole"]:
                return None
            self._move(job, output)
        return Tally.from_json(found["tally"])

    def is_placed(self, job: int, output: Path) -> bool:
        """Whether what is at ``output`` is what this run, interrupted, has put there."""
        found = self._whole(job)
        return found is not None and _identity_of(output) == found["whole"]

    def _whole(self, job: int) -> dict[str, Any] | None:
        ends = [entry for entry in self._of_job.get(job, ()) if "footer" not in entry]
        return ends[-1] if ends and "whole" in ends[-1] else None

    def remove(self) -> None:
        """Remove the folder: all is done, or nothing is."""
        with suppress(OSError):
            self._journal.path.unlink(missing_ok=True)  # first: without it, the rest does not count
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in self._made:
            with suppress(OSError):
                path.rmdir()  # if the output is not in it

    def _move(self, job: int, output: Path) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        self.rows_file(job).replace(output)
        sync(output.parent)

    def clear(self) -> None:
        """Drop everything but the lock."""
        with suppress(FileNotFoundError):
            self._journal.path.unlink()
        for path in self.folder.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        self._read()

    def _read(self) -> None:
        self._has_more = None
        self._journal = Journal(self.folder / "journal")
        self._of_job: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for entry in self._journal.entries:
            if "job" in entry:
                self._of_job[entry["job"]].append(entry)

    def _add(self, job: int, **values: Any) -> None:
        self._journal.append({"job": job, **values})
        self._of_job[job].append(self._journal.entries[-1])


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _identity_of(path: Path) -> list[int] | None:
    try:
        return _identity(os.stat(path, follow_symlinks=False))
    except OSError:
        return None
