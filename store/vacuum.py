"""Removing files of a table that no version which is kept, no reader and no writer needs."""

import time
from dataclasses import dataclass
from pathlib import Path

from .errors import StoreError
from .history import Life, lives, versions
from .locks import exclusive_lock, is_version_in_use
from .places import Place, has_locks
from .progress import counted
from .rewrite import maintained
from .shard_file import is_finished_name, is_open_name
from .table import FeatureTable

RETAIN_HOURS = 168.0
SAFE_HOURS = 24.0
"""In an object store nobody can tell what others read and write: no younger file is removed from it."""
_FOREIGN_SECONDS = 3600.0  # a file that nobody locks, and that the log does not know, may be in the making
_TEMPORARY = ("_delta_log/_commit_*", ".spec-*.json")


@dataclass(frozen=True)
class VacuumSummary:
    """What :func:`vacuum` did, or would do."""

    feature_set: str
    removed: list[str]
    """Names of the files that were removed: of old versions, and what killed processes left."""
    bytes: int
    held: list[int]
    """Old versions that living processes read: their files stay."""
    retained: int
    """Files of old versions that are younger than they have to be, or that a living process reads."""
    retain_hours: float
    version: int


def vacuum(
    table: FeatureTable | str | Place, *, retain_hours: float = RETAIN_HOURS, dry_run: bool = False
) -> VacuumSummary:
    """Remove the files of versions that were replaced more than ``retain_hours`` ago, and left files.

    A version that a living process reads keeps its files, and so does a shard that is being written. With
    ``dry_run`` nothing is removed. In an object store, which has no locks, files go by their age alone, which
    is at least ``SAFE_HOURS``. After a vacuum, older versions of the table cannot be read.
    """
    table = FeatureTable.of(table)
    folder = table.path.absolute()
    by_age = not has_locks(folder)
    if by_age and retain_hours < SAFE_HOURS:
        raise StoreError(
            f"'{folder}' is in an object store, where nobody can tell which old files are being read: pass "
            f"--retain {SAFE_HOURS:g} or more"
        )
    with maintained(table.path):
        table.refresh()
        older = [] if by_age else [v for v in versions(folder) if v < table.version]
        held = [version for version in older if is_version_in_use(folder, version)]
        log = lives(folder)
        current = {Path(shard.path).name for shard in table.logged}
        removed, size, retained = [], 0, 0
        files = sorted(folder.glob("*.parquet")) + [p for t in _TEMPORARY for p in folder.glob(t)]
        for path in counted(files, "clearing", 0, len(files)):
            if path.name in current:
                continue
            life = log.get(path.name)
            if life and life.removed is not None:
                is_free = is_expired(life, held, time.time() - retain_hours * 3600)
                if not is_free:
                    retained += 1
            else:
                is_free = not life and (_is_old(path) if by_age else _is_left(path, table))
            if not is_free:
                continue
            size += path.stat().st_size
            removed.append(path.name)
            if not dry_run:
                path.unlink(missing_ok=True)
        return VacuumSummary(table.name, removed, size, held, retained, retain_hours, table.version)


def is_expired(life: Life, held: list[int], before: float) -> bool:
    """Whether a removed shard was removed before a time, and is in none of the versions that are held."""
    return life.removed_at <= before and not any(map(life.is_in, held))


def _is_old(path: Place) -> bool:
    """Whether a file that no commit names was written so long ago that none will."""
    return time.time() - path.stat().st_mtime > SAFE_HOURS * 3600


def _is_left(path: Place, table: FeatureTable) -> bool:
    """Whether a file that no commit names has no owner that lives."""
    try:
        if not (is_open_name(path.name) or is_finished_name(path.name)):
            return time.time() - path.stat().st_mtime > _FOREIGN_SECONDS
        lock = exclusive_lock(path)
        if lock is None:
            return False
        lock.release()
        # Its owner is gone, but may have committed it in the meantime.
        return path.name not in lives(table.path.absolute())
    except OSError:  # it is gone, or it cannot be known whose it is
        return False
