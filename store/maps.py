"""How many files a process may map into memory."""

from functools import cache
from pathlib import Path

from .errors import NotMapped

_LIMIT_FILE = Path("/proc/sys/vm/max_map_count")  # of Linux; other systems have no such limit
_SHARE = 4  # of the limit, for one reader: a training has one for each of its sets, and others map, too


class TooManyMaps(NotMapped):
    """More shards are to be mapped than a process may map."""


def require_maps(shards: int) -> None:
    """Raise TooManyMaps for more shards than one reader may map."""
    most = _most_maps()
    if most is not None and shards > most:
        raise TooManyMaps(
            f"{shards:,} shards are more than a process can map here ({most:,}); make them fewer with "
            "`enc store compact`, or pass --batches streamed"
        )


@cache
def _most_maps() -> int | None:
    """Files that one reader may map; None where there is no limit."""
    try:
        return int(_LIMIT_FILE.read_text()) // _SHARE
    except (OSError, ValueError):
        return None
