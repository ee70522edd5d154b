"""Heads of the user's own: ``module:Class``, imported from where Python finds modules, never from a head's
folder, and only where the user allows it.
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary

from torch import nn

from ...store import HeadError
from .own_code import OwnCode, source_hash

# Hashes of the source files when this process first met a class; the files may have changed since.
_FIRST_SEEN: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()


def load_class(reference: str, code: OwnCode) -> type[nn.Module]:
    """The ``torch.nn.Module`` class that ``module:Class`` names.

    It is constructed with the shape of one row's features and the number of outputs, and its forward
    takes features [rows, *shape], and the mask [rows, max_length] of token features if it has a
    parameter ``mask``. Raises HeadError where there is none, where it may not be imported, where its source
    file is not the one of the training, or where the module lies in the head's folder: what came with a
    head is not run.
    """
    module, colon, name = reference.partition(":")
    if not colon or not module or not name:
        raise HeadError(f"unknown head '{reference}'; write one of enc's own, or module:Class for yours")
    code.require_allowed(reference)
    try:
        importlib.invalidate_caches()  # the module may just have been written
        if code.head_folder is not None:
            _refuse_inside(module, code.head_folder.resolve())
        if code.hashes:
            code.require_unchanged(reference, {one: source_hash(one) for one in {module, *code.hashes}})
        found = getattr(importlib.import_module(module), name, None)
    except HeadError:
        raise
    except ModuleNotFoundError as error:
        raise HeadError(
            f"head '{reference}' cannot be loaded: {error}; run enc where {module.partition('.')[0]} "
            "lies, or put it on PYTHONPATH"
        ) from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise HeadError(f"head '{reference}' cannot be loaded: {type(error).__name__}: {error}") from error
    if found is None:
        raise HeadError(f"module '{module}' has no class '{name}'; mend --head")
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise HeadError(f"'{reference}' is not a torch.nn.Module class; mend --head")
    code.require_unchanged(reference, class_hashes(reference, found))
    return found


def class_hashes(reference: str, found: type[nn.Module]) -> dict[str, str]:
    """SHA-256 of the source files of a class that was imported, by module: the named module's, and that of
    the one in which it is written.

    Raises HeadError where a file has changed since this process first met the class.
    """
    modules = dict.fromkeys((reference.partition(":")[0], found.__module__))
    hashes = {module: source_hash(module) for module in modules}
    seen = _FIRST_SEEN.setdefault(found, hashes)
    changed = [module for module in hashes if seen.get(module, hashes[module]) != hashes[module]]
    if changed:
        raise HeadError(
            f"the file of module '{changed[0]}' has changed since this process imported it; start Python anew"
        )
    return hashes


def _refuse_inside(module: str, folder: Path) -> None:
    """Raise HeadError if a module, or a package around it, lies in the folder; only packages that do not are
    imported.
    """
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        spec = find_spec(".".join(parts[:end]))
        if spec is None:
            return
        for place in (spec.origin, *(spec.submodule_search_locations or ())):
            if place and Path(place).resolve().is_relative_to(folder):
                raise HeadError(
                    f"module '{module}' lies in the head's folder '{folder}', whose code is not run; "
                    "if you trust it, move it to where you run enc"
                )
