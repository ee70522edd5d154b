"""Who uses a folder of an object store, where nothing can be locked.

Who uses it has a lease: an object in it that is written anew every RENEW_SECONDS. Who removes it says so
first by another such object, then looks for leases, and lets it be where there is one. Who begins to use it
has a lease first, then looks for removals, and waits for their end. So of two that begin at the same time at
least one sees the other. What was not renewed for DEAD_SECONDS, by the clock of the store, is of a process
that was killed.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import cast

from ..errors import EncError
from .place import Place
from .remote import RemotePath

RENEW_SECONDS = 30.0
DEAD_SECONDS = 180.0
_LOOK_SECONDS = 1.0
_USE, _REMOVAL = "lease-", "removal-"


@contextmanager
def leased(folder: Place) -> Iterator[None]:
    """During a block, nobody removes a folder of an object store; begins when nobody is about to.

    Of a folder that has locks nothing is said.
    """
    if not isinstance(folder, RemotePath):
        yield
        return
    with _renewed(folder / f"{_USE}{uuid.uuid4().hex}"):
        while _living(_written(folder), _REMOVAL):
            time.sleep(_LOOK_SECONDS)
        yield


def remove_unleased(folder: Place) -> bool:
    """Remove a folder of an object store, unless somebody has a lease; returns whether it is gone."""
    if not isinstance(folder, RemotePath):
        raise TypeError(f"{folder} is in no object store")
    with _renewed(folder / f"{_REMOVAL}{uuid.uuid4().hex}"):
        found = _written(folder)
        if _living(found, _USE):
            return False
        for name in found.keys() - _living(found, _REMOVAL):  # not what has come since, such as a lease
            RemotePath(f"{folder}/{name}").unlink(missing_ok=True)
    return True


@contextmanager
def _renewed(place: RemotePath) -> Iterator[None]:
    """During a block, an object is there, and is never old."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(OSError, EncError):  # the next time will do
                place.write_bytes(b"")

    place.write_bytes(b"")
    thread = threading.Thread(target=renew, name="enc-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        place.unlink(missing_ok=True)


def _written(folder: RemotePath) -> dict[str, datetime]:
    """When each object of a folder was written, by the clock of the store."""
    return {name: cast(datetime, mark[-1]) for name, mark in folder.marks().items()}


def _living(written: dict[str, datetime], kind: str) -> set[str]:
    """The objects of a kind that are not old. The newest one, such as one's own, tells what time it is."""
    dead = max(written.values()) - timedelta(seconds=DEAD_SECONDS)
    return {name for name, when in written.items() if name.startswith(kind) and when >= dead}
