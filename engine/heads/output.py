"""Whether a head can be saved where it is asked for, told before anything dear is done."""

from pathlib import Path

from ...store import HeadError
from ...store.files import require_replaceable, require_writable
from ...store.places import RemotePath, is_url, require_puts


def require_output(folder: str | Path) -> None:
    """Raise HeadError if ``folder`` cannot be written, or holds something that is not a head."""
    if is_url(folder):
        place = RemotePath(str(folder))
        if place.exists() and not (place / "head.json").is_file():
            raise HeadError(f"'{folder}' is there and is not a head; choose another --output")
        require_puts(str(folder), HeadError)
        return
    folder = Path(folder)
    require_replaceable(folder, "head.json", HeadError, "a head")
    require_writable(folder.absolute().parent if folder.exists() else folder, HeadError)
