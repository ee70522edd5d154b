"""What two runs of scoring must have in common, for one to go on with what the other one finished."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from ...store import FeatureSpec, Source
from ..encode.releases import installed_release
from ..heads.head import Head
from ..heads.tasks import Task
from .jobs import Job

_PACKAGES = (
    "enc-features", "duckdb", "numpy", "onnxruntime", "openvino", "pyarrow", "tokenizers", "torch",
    "transformers",
)  # fmt: skip
_APART = ("metrics", "history", "record", "folder", "code")  # fields of a head that no output depends on


def settings_of(
    source: Source, jobs: Sequence[Job], heads: Mapping[str, Head], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that the bytes of the outputs depend on, by names for people, as JSON gives it back.

    A file counts by its path, size and time.
    """
    rows = asdict(source)
    files = [] if source.query and not source.names else source.files()
    settings = {
        "release": {name: installed_release(name) for name in _PACKAGES},
        "input": {os.path.abspath(file): _stamp(file) for file in files},
        "output": [os.path.abspath(job.output) for job in jobs],
        "head": {prefix: _digest(head) for prefix, head in heads.items()},
        **{name.replace("_", " "): value for name, value in rows.items() if name != "paths"},
        **options,
    }
    return json.loads(json.dumps(settings, default=str))


def _stamp(file: str) -> list[int]:
    status = os.stat(file)
    return [status.st_size, status.st_mtime_ns]


def _digest(head: Head) -> str:
    """SHA-256 of all that a head's outputs depend on."""
    total = hashlib.sha256()
    for one in fields(head):
        if one.name not in _APART:
            _add(total, one.name, getattr(head, one.name))
    _add(total, "code", head.code.hashes)  # of a class of the user's own
    return total.hexdigest()


def _add(total: Any, name: str, value: Any) -> None:
    """Add a value, with all that is in it, to a digest."""
    if isinstance(value, np.ndarray):
        total.update(f"{name} {value.dtype} {value.shape} ".encode() + value.tobytes())
    elif isinstance(value, Task):
        _add(total, name, value.name)
    elif isinstance(value, FeatureSpec):
        _add(total, name, value.digest)
    elif is_dataclass(value):
        for one in fields(value):
            _add(total, f"{name}.{one.name}", getattr(value, one.name))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _add(total, f"{name}[{key!r}]", value[key])
    elif isinstance(value, (list, tuple)) and not all(isinstance(one, (str, int, float)) for one in value):
        for number, one in enumerate(value):
            _add(total, f"{name}[{number}]", one)
    else:
        total.update(f"{name} {type(value).__name__} {value!r}\n".encode(errors="surrogatepass"))
