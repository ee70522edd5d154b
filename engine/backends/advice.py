"""What is said of a faster backend that one installation away: once on a machine, and never again."""

import platform
from collections.abc import Callable

from ..encode.model_files import cache_folder
from .registry import BACKENDS

_ADVICE = (
    "OpenVINO is not installed; it encodes faster on this processor: pip install 'enc-features[openvino]' "
    "(this is said once)"
)


def advise_once(device: str, say: Callable[[str], None]) -> None:
    """Tell of OpenVINO where texts are encoded on an x86-64 processor without it.

    It was measured to be the fastest backend there. Where the cache folder cannot be written, this is
    said again the next time.
    """
    is_x86_64 = platform.machine().lower() in ("x86_64", "amd64")
    if device != "cpu" or not is_x86_64 or BACKENDS["openvino"].is_installed:
        return
    mark = cache_folder() / "openvino-advised"
    if mark.exists():
        return
    say(_ADVICE)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return
