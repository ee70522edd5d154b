"""The painter of a command, begun before anything slow, so that it is ready when something is drawn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...pages.painter import Painter
from ...store.errors import EncError
from ..encode.model_files import cache_folder


@contextmanager
def early_painter(say: Callable[[str], None], *, wanted: bool = True) -> Iterator[Painter | None]:
    """A painter that gets ready while a command is at work; None where none is wanted, or none can be had,
    which is said.
    """
    if not wanted:
        yield None
        return
    try:
        painter = Painter(cache_folder() / "pages")
    except EncError as error:
        say(f"no report will be written: {error}")
        yield None
        return
    with painter:
        yield painter
