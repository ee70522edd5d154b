"""The files that features are written to, by their ending."""

import os
from pathlib import Path

from ...store import SourceError

_ENDINGS = {
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather"),
    "npy": (".npy",),
    "npz": (".npz",),
}
TABLES = ("parquet", "arrow")
"""Formats that hold columns beside the features, and nulls; the others hold arrays of numbers alone."""


def format_of(output: str | Path) -> str:
    """The format of an output: by its ending; of a folder, Parquet. Raises SourceError for another ending."""
    text = str(output)
    if text.endswith(("/", os.sep)) or Path(text).is_dir():
        return "parquet"
    for name, endings in _ENDINGS.items():
        if text.lower().endswith(endings):
            return name
    raise SourceError(
        f"cannot tell the format of '{text}' from its ending; end it with .parquet, .arrow, .npy or .npz"
    )


def rows_file_of(output: Path) -> Path:
    """Where the numbers of the rows of a .npy file are: beside it."""
    return output.with_name(f"{output.name.removesuffix(output.suffix)}.rows.npy")
