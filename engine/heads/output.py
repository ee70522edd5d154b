"""Whether a head can be saved where it is asked for, told before anything dear is done."""

from pathlib import Path

from ...store import HeadError
from ...store.files import require_replaceable, require_writable


def require_output(folder: str | Path) -> None:
    """Raise HeadError if ``folder`` cannot be written, or holds something that is not a head."""
    folder = Path(folder)
    require_replaceable(folder, "head.json", HeadError, "a head")
    require_writable(folder.absolute().parent if folder.exists() else folder, HeadError)
