"""Looking at all of a feature set, and dropping what is broken, so that it can be encoded again."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from .catalog import Store
from .errors import DamagedLog, DamagedShard, StoreError
from .history import removed_names
from .listed_shards import bounds_of
from .locks import LOG_FOLDER
from .log_folder import SPEC_FILE, create_log
from .logged import LoggedShard
from .places import Place, folder_of, has_locks
from .progress import Progress, counted, hears_progress
from .rewrite import find_doubles, maintained, read_rows, replace_shards
from .shard import Shard
from .shard_keys import require_readable
from .spec import FeatureSpec
from .table import FeatureTable

"""Called with the shards that were looked at so far, and all of them."""


@dataclass
class VerifySummary:
    """What :func:`verify` found in a feature set, and what it did about it."""

    feature_set: str
    version: int = -1
    shards: int = 0
    rows: int = 0
    damaged: list[str] = field(default_factory=list)
    """What is wrong, a line for each shard, and for the log."""
    unreadable: list[str] = field(default_factory=list)
    """Shards that this process may not read, which may be sound: a line for each."""
    unchecked: int = 0
    """Shards that have no checksums: of other tools."""
    doubles: int | None = None
    """Rows whose key an earlier row has, which is no damage; unknown while shards are damaged."""
    saved: int | None = None
    """Rows of damaged shards that were kept; None where nothing was repaired."""
    lost: int | None = None
    """Rows that were dropped, and will be encoded again, as far as their number is known."""

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it was written, or is again."""
        return not self.unreadable and (not self.damaged or self.saved is not None)


@hears_progress
def verify(
    store: Store | str | Path, name: str, *, repair: bool = False, progress: Progress | None = None
) -> VerifySummary:
    """Look at every shard of a feature set: file, footer, rows, keys, checksums, finite features.

    With ``repair`` row groups that are broken are dropped from the table, in one commit for each shard, so
    that a run of build-features encodes their texts again. A log that cannot be read is put aside, and made
    anew from the shards that are sound. Damaged files stay on the disk until a vacuum.
    """
    path = Store(store).path / name
    summary = VerifySummary(name)
    try:
        table = FeatureTable(path)
    except DamagedLog as error:
        summary.damaged.append(str(error))
        if not repair:
            return summary
        with maintained(path):
            table = _with_new_log(path, summary)
    with maintained(path):
        logged = table.refresh().logged
        broken = []
        for shard in counted(logged, "verifying", 0, len(logged)):
            try:
                _look_at(table, shard, summary)
            except DamagedShard as error:
                summary.damaged.append(f"shard {error.path} {error.problem}")
                broken.append(shard)
            except StoreError as error:
                summary.unreadable.append(str(error))
        if broken and repair:
            for shard in broken:
                _drop_broken(table, shard, summary)
        summary.version, summary.shards = table.version, len(table.logged)
        if not summary.unreadable and (repair or not broken):
            summary.rows = table.rows
            summary.doubles = find_doubles(table.listed_shards).count
    return summary


def _look_at(table: FeatureTable, logged: LoggedShard, summary: VerifySummary) -> None:
    require_readable([logged])
    shard = Shard(logged.path, table.spec)
    for group in range(len(shard.first_rows)):
        shard.verify(group)
    _require_bounds(table, logged)
    if not shard.has_checksums:
        summary.unchecked += 1
        for _ in read_rows(logged.path, table.spec):  # whether all columns can be read, at least
            pass


def _require_bounds(table: FeatureTable, logged: LoggedShard) -> None:
    """Raise DamagedShard for keys that are not between those that the log says: readers would miss them."""
    bounds = table.key_bounds.get(Path(logged.path).name)
    if bounds is None:
        return
    with pq.ParquetFile(logged.path) as file:
        for group in range(file.num_row_groups):
            for keys in file.read_row_group(group, columns=["key"]).column(0).iterchunks():
                found = bounds_of(keys)
                if not bounds.first <= found.first <= found.last <= bounds.last:
                    raise DamagedShard(logged.path, "has keys outside of the bounds in the log")


def _drop_broken(table: FeatureTable, logged: LoggedShard, summary: VerifySummary) -> None:
    """Keep a shard's sound row groups, in a new shard, and take the rest out of the table."""
    summary.saved, summary.lost = summary.saved or 0, summary.lost or 0
    try:
        require_readable([logged])
        shard = Shard(logged.path, table.spec)
    except DamagedShard:
        shard = None
    if shard is None or not shard.plain:
        table.commit([], [logged])
        summary.lost += logged.rows or 0
        return
    stops = [*shard.first_rows[1:].tolist(), shard.rows]
    broken = [np.empty(0, np.int64)]
    for group, (first, stop) in enumerate(zip(shard.first_rows.tolist(), stops, strict=True)):
        try:
            shard.verify(group)
        except DamagedShard:
            broken.append(np.arange(first, stop))
    rows = np.concatenate(broken)
    replace_shards(table, [logged], {logged.path: rows})
    summary.saved += shard.rows - len(rows)
    summary.lost += len(rows)


def _with_new_log(path: Place, summary: VerifySummary) -> FeatureTable:
    """The table with a new log of all sound shards in its folder, the damaged log beside it.

    Shards that the old log removed, as far as it can be read, are left out. Raises StoreError where the
    setting, in ``spec.json``, cannot be read either.
    """
    if not has_locks(path):
        raise StoreError(
            f"the log of feature set '{path}' is damaged, and in an object store no new one can take its "
            "place; restore it from the bucket's older versions, or build the features in another store"
        )
    try:
        spec = FeatureSpec.from_json((path / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, StoreError, ValueError) as error:
        raise StoreError(
            f"feature set '{path}' cannot be repaired: neither its log nor '{SPEC_FILE}' can be read; "
            "restore one of them from a copy, or remove the folder and build the features again"
        ) from error
    removed = removed_names(path)
    sound = []
    for shard in sorted(folder_of(path).glob("part-*.parquet")):
        if shard.name in removed:
            continue
        try:
            opened = Shard(shard, spec)
            for group in range(len(opened.first_rows)):
                opened.verify(group)
        except DamagedShard as error:
            summary.damaged.append(f"shard {error.path} {error.problem}")
            continue
        sound.append((shard, opened.rows))
    if (path / LOG_FOLDER).exists():
        shutil.move(str(path / LOG_FOLDER), str(path / f".damaged-log-{int(time.time())}"))
    create_log(path, spec)
    table = FeatureTable(path)
    if sound:
        table.commit(sound)
    summary.saved = sum(rows for _, rows in sound)
    return table
