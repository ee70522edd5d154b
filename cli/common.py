"""What the commands share, by one name: errors, options, values, progress and text."""

from .errors import EncCommand, set_debug
from .options import (
    backend_options,
    classifier_options,
    device_option,
    json_option,
    options,
    setting_options,
    source_options,
    store_option,
    text_options,
)
from .progress import note, progress_bar
from .text import rejects_line, rows_of, seconds_line
from .values import (
    backend_values,
    find_local_modules,
    key_values,
    load_classifier,
    setting_values,
    source_of,
)

__all__ = [
    "EncCommand",
    "backend_options",
    "backend_values",
    "classifier_options",
    "device_option",
    "find_local_modules",
    "json_option",
    "key_values",
    "load_classifier",
    "note",
    "options",
    "progress_bar",
    "rejects_line",
    "rows_of",
    "seconds_line",
    "set_debug",
    "setting_options",
    "setting_values",
    "source_of",
    "source_options",
    "store_option",
    "text_options",
]
