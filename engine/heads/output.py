"""Whether a head can be saved where it is asked for, told before anything dear is done."""

import os
from pathlib import Path

from ...store import HeadError
from ...store.files import require_replaceable


def require_output(folder: str | Path) -> None:
    """Raise HeadError if ``folder`` cannot be written, or holds something that is not a head."""
    folder = Path(folder)
    require_replaceable(folder, "head.json", HeadError, "a head")
    parent = folder.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise HeadError(f"'{folder}' cannot be written: '{parent}' is not a folder; choose another --output")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise HeadError(f"'{folder}' cannot be written: '{parent}' is closed to you; choose another --output")
