"""Names that a misspelt one may have meant."""

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

_MOST_NAMES = 10_000  # looked at: a file may have very many columns, and a folder very many files


def nearest(name: str, names: Iterable[str], most: int = 1) -> list[str]:
    """The names that are most like one, whatever their case; none where nothing is near."""
    by_folded: dict[str, str] = {}
    for one in islice(names, _MOST_NAMES):
        by_folded.setdefault(str(one).casefold(), str(one))
    found = difflib.get_close_matches(str(name).casefold(), by_folded, n=most)
    return [by_folded[one] for one in found]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about a name that there is not; empty where no other is near."""
    return "".join(f". Did you mean '{one}'?" for one in nearest(name, names))


def did_you_mean_path(path: str | Path) -> str:
    """The end of a message about a file or folder that there is not.

    The names beside the first part of the path that is missing are looked at.
    """
    asked = Path(path)
    missing = next((one for one in [*reversed(asked.parents), asked] if not one.exists()), None)
    if missing is None:
        return ""
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except OSError:
        return ""
    found = nearest(missing.name, sorted(names))
    if not found:
        return ""
    better = missing.with_name(found[0]) / asked.relative_to(missing)
    return f". Did you mean '{better if better.exists() else missing.with_name(found[0])}'?"


def unknown(thing: str, name: object, names: Iterable[object]) -> str:
    """The message about a name that there is not, with those that there are."""
    known = [str(one) for one in names]
    return f"unknown {thing} '{name}'; there are {', '.join(known)}{did_you_mean(str(name), known)}"
