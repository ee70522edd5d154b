"""Which shard was part of which versions of a table, as the commits in its log tell."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from .errors import StoreError
from .locks import LOG_FOLDER
from .places import Place


@dataclass(frozen=True)
class Life:
    """The versions that a shard is part of: from ``added`` to before ``removed``."""

    added: int
    removed: int | None = None
    removed_at: float = 0.0
    """When it was removed, in seconds since 1970."""

    def is_in(self, version: int) -> bool:
        """Whether the shard is part of a version."""
        return self.added <= version and (self.removed is None or version < self.removed)


def versions(folder: Place) -> list[int]:
    """The versions whose commits are in a table's log, ascending."""
    return sorted(int(path.stem) for path in (folder / LOG_FOLDER).glob("[0-9]*.json") if path.stem.isdigit())


def lives(folder: Place) -> dict[str, Life]:
    """The life of every shard that the commits in a table's log name, by the shard's name.

    A log forgets commits when they are old, and then a shard that was added by one of them begins with the
    first commit that is there. Raises StoreError for a commit that cannot be read.
    """
    found: dict[str, Life] = {}
    known = versions(folder)
    for version in known:
        path = folder / LOG_FOLDER / f"{version:020}.json"
        try:
            actions = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
            for action in actions:
                if "add" in action:
                    found[unquote(action["add"]["path"])] = Life(version)
                elif "remove" in action:
                    name = unquote(action["remove"]["path"])
                    life = found.get(name, Life(known[0]))
                    removed_at = action["remove"].get("deletionTimestamp", 0) / 1000
                    found[name] = replace(life, removed=version, removed_at=removed_at)
        except FileNotFoundError:  # another process has just cleaned the log
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"commit '{path}' cannot be read ({error}); run `enc store verify '{folder.parent}' --repair`"
            ) from error
    return found


def removed_names(folder: Place) -> set[str]:
    """Names of the shards that a table's log has removed, as far as its lines can be read."""
    removed = set()
    for path in sorted((folder / LOG_FOLDER).glob("[0-9]*.json")):
        for line in path.read_bytes().splitlines():
            try:
                action = json.loads(line)
                if "remove" in action:
                    removed.add(unquote(action["remove"]["path"]))
            except (ValueError, KeyError, TypeError):
                continue
    return removed


def spans(lives: Iterable[Life], newest: int) -> list[tuple[int, int]]:
    """The versions, before ``newest``, of which any of some shards is part: first and last of each run."""
    held = sorted((life.added, (newest if life.removed is None else life.removed) - 1) for life in lives)
    runs: list[tuple[int, int]] = []
    for first, last in held:
        if last < first:
            continue
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs
