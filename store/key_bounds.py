"""Between which keys the rows of shards lie, as the statistics in a table's log say.

Delta's readers make nothing of statistics of binary columns, and so the log's files are read here. Shards of
older releases and of other tools have none: they may hold any key.
"""

import io
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from .locks import LOG_FOLDER, commit_file
from .logged import LoggedShard
from .places import Place

KEY_BYTES = 32


class Bounds(NamedTuple):
    """The least and the greatest key of some rows, compared byte by byte."""

    first: bytes
    last: bytes


def union(bounds: Sequence[Bounds]) -> Bounds | None:
    """The bounds of all these rows together; None of none."""
    return Bounds(min(one.first for one in bounds), max(one.last for one in bounds)) if bounds else None


ANYWHERE = Bounds(bytes(KEY_BYTES), b"\xff" * KEY_BYTES)


def to_statistics(rows: int, bounds: Bounds | None) -> str:
    """Delta's statistics of a shard, as JSON; keys are in hexadecimal digits."""
    found: dict[str, Any] = {"numRecords": rows}
    if bounds:
        found["minValues"], found["maxValues"] = ({"key": key.hex()} for key in bounds)
    return json.dumps(found)


def _of_statistics(text: str | None) -> Bounds | None:
    """The bounds in Delta's statistics; None for what is not ours."""
    try:
        found = json.loads(text or "{}")
        bounds = Bounds(*(bytes.fromhex(found[side]["key"]) for side in ("minValues", "maxValues")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    is_ours = all(len(key) == KEY_BYTES for key in bounds) and bounds.first <= bounds.last
    return bounds if is_ours else None


GROUPS_KEY = "enc.key_bounds"
_PREFIX = 8  # bytes of a key that tell enough


def to_metadata(groups: Sequence[Bounds]) -> str:
    """The bounds of a shard's row groups, as its footer holds them."""
    return ",".join(f"{one.first[:_PREFIX].hex()}-{one.last[:_PREFIX].hex()}" for one in groups)


def of_metadata(metadata: dict[bytes, bytes] | None, groups: int) -> list[Bounds | None]:
    """The bounds of row groups, about, of a footer's metadata; None where it does not say."""
    text = (metadata or {}).get(GROUPS_KEY.encode(), b"").decode("ascii", "replace")
    found = [part.partition("-") for part in text.split(",")]
    try:
        bounds = [
            Bounds(bytes.fromhex(first), bytes.fromhex(last).ljust(KEY_BYTES, b"\xff"))
            for first, _, last in found
        ]
    except ValueError:
        bounds = []
    is_sound = len(bounds) == groups and all(len(one.first) == _PREFIX for one in bounds)
    return [*bounds] if is_sound else [None] * groups


class LoggedBounds:
    """The bounds that a table's log says, by the shard's name; read as they are asked for."""

    def __init__(self, folder: Place):
        self._folder, self._version = folder, -1
        self._found: dict[str, Bounds] = {}

    def at(self, version: int) -> dict[str, Bounds]:
        """The bounds of all shards up to a version, as far as they are known.

        A name is of one shard for ever, so that shards that have been removed do no harm.
        """
        if version < self._version:
            self._found, self._version = {}, -1
        first = self._version + 1
        if first < version:
            first = self._read_checkpoint(first, version)
        for number in range(first, version + 1):
            try:
                lines = commit_file(self._folder, number).read_bytes().splitlines()
            except OSError:  # an old log has lost it
                continue
            self._add((action["add"]["path"], action["add"].get("stats")) for action in _added(lines))
        self._version = version
        return self._found

    def of_shards(self, shards: Iterable[LoggedShard], version: int) -> list[Bounds | None]:
        """The bounds of shards of a version; None where the log does not say."""
        found = self.at(version)
        return [found.get(os.path.basename(shard.path)) for shard in shards]

    def _read_checkpoint(self, first: int, version: int) -> int:
        """Read the newest checkpoint that tells more than what is known; returns the first version after."""
        import pyarrow as pa  # few who open a table ask for bounds
        import pyarrow.parquet as pq

        files = {}
        for path in (self._folder / LOG_FOLDER).glob("*.checkpoint.parquet"):
            number = path.name.partition(".")[0]
            if number.isdigit() and first <= int(number) <= version:
                files[int(number)] = path
        for number in sorted(files, reverse=True):
            try:
                file = pq.ParquetFile(io.BytesIO(files[number].read_bytes()))
                table = file.read(columns=["add.path", "add.stats"])
                adds = table.column("add").combine_chunks()
                paths, stats = (adds.field(name).to_pylist() for name in ("path", "stats"))
            except (OSError, ValueError, KeyError, pa.ArrowException):
                continue
            self._add((path, text) for path, text in zip(paths, stats, strict=True) if path)
            return number + 1
        return first

    def _add(self, shards: Iterable[tuple[str, str | None]]) -> None:
        for path, text in shards:
            bounds = _of_statistics(text)
            if bounds:
                self._found[unquote(path)] = bounds


def _added(lines: Sequence[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        if line.startswith(b'{"add"'):
            try:
                action = json.loads(line)
                if isinstance(action["add"]["path"], str):
                    yield action
            except (ValueError, KeyError, TypeError):
                continue


def depth_of(bounds: Iterable[Bounds | None]) -> int:
    """In how many shards a key may be, at most."""
    known = [one or ANYWHERE for one in bounds]
    ends = sorted([(one.first, 1) for one in known] + [(one.last, 2) for one in known])
    depth = deepest = 0
    for _, kind in ends:
        depth += 1 if kind == 1 else -1
        deepest = max(deepest, depth)
    return deepest
