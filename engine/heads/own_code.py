"""Whether the class of a head of the user's own may be imported, and which source files it comes from."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ...store import HeadError


@dataclass(frozen=True)
class OwnCode:
    """What is known of the class of a ``module:Class`` head, and whether it may be imported."""

    is_allowed: bool = False
    """Whether the user said so: ``--allow-code``, or ``allow_code=True``."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the source files that the head was trained with, by module; empty where none is known."""
    head_folder: Path | None = None
    """Folder that the head was read from; code in it is never run."""

    def require_allowed(self, reference: str) -> None:
        """Raise HeadError unless the class may be imported."""
        if not self.is_allowed:
            raise HeadError(
                f"head '{reference}' is a class that enc does not bring, and its code is imported only where "
                "this is allowed: if you trust it, pass --allow-code (in Python, allow_code=True)"
            )

    def require_unchanged(self, reference: str, found: Mapping[str, str]) -> None:
        """Raise HeadError where the hashes of source files are not those of the training."""
        for module, digest in found.items():
            known = self.hashes.get(module, "unknown")
            if self.hashes and digest != known:
                raise HeadError(
                    f"head '{reference}' was trained with a module '{module}' of SHA-256 {known[:12]}, and "
                    f"'{source_file(module)}' has {digest[:12]}: put the file of then there, or train again"
                )


def source_file(module: str) -> Path:
    """The file that a module is imported from; packages around it are imported to find it.

    Raises HeadError for a module without one, and ModuleNotFoundError for none.
    """
    loaded = sys.modules.get(module)
    found = find_spec(module) if loaded is None else None
    if loaded is None and found is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    path = getattr(loaded, "__file__", None) if found is None else found.origin
    if not path or not Path(path).is_file():
        raise HeadError(f"module '{module}' has no source file, by which a head could remember it; write one")
    return Path(path)


def source_hash(module: str) -> str:
    """SHA-256 of a module's source file, in hexadecimal; see :func:`source_file`."""
    return hashlib.sha256(source_file(module).read_bytes()).hexdigest()
