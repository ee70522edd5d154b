"""A model's folder, opened once: its tokenizer, its network, and the setting that its features have."""

import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer as RustTokenizer

from ...store import FeatureSpec, ModelError, Setting
from ...store.parts import parse_layers
from . import pooling as poolings
from .model_files import INT8_RECORD, TOKENIZER_FILES, WEIGHT_FILES, model_folder, model_name
from .tokens import Tokenizer, Tokens

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xmod")


class Checkpoint:
    """What all backends share of a model: ``spec``, ``tokenizer``, ``layer_count``, and ``network``."""

    def __init__(self, folder: Path, model: str, setting: Setting):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # no fork follows in this process
        self.folder, self.model = folder, model
        try:
            self._config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, RustTokenizer):
            raise ModelError(
                f"model '{model}' has no fast tokenizer (tokenizer.json); save one with transformers"
            )
        self.layer_count: int = self._config.num_hidden_layers
        weights, tokenizer_digest = digests(folder)
        quantized = _quantized(folder)
        values: dict[str, Any] = {
            "pooling": "mean",
            "layers": "last",
            "max_length": 128,
            **quantized,
            **setting,
        }
        values["layers"] = parse_layers(values["layers"], self.layer_count)
        values["pooling"] = parse_poolings(values["pooling"])
        self.spec = FeatureSpec(
            model=model,
            weights=weights,
            tokenizer=tokenizer_digest,
            hidden_size=self._config.hidden_size,
            **values,
        )
        for name in ("layers", "pooling"):
            if quantized and list(values[name]) != quantized[name]:
                made = ",".join(map(str, quantized[name]))
                raise ModelError(
                    f"model '{model}' was quantized for {name} {made}; quantize it again for others"
                )
        max_length = self.spec.max_length
        longest = longest_input(self._config, tokenizer)
        if max_length > longest:
            raise ModelError(
                f"max_length is {max_length}, but model '{model}' takes {longest} tokens; pass --max-length {longest}"
            )
        self.tokenizer = Tokenizer(backend, self.spec, pad_id=tokenizer.pad_token_id or 0)

    @cached_property
    def network(self) -> "Featurizer":
        """The network, loaded once."""
        return self.load()

    def load(self, *, attention: str = "sdpa") -> "Featurizer":
        """The network in float32 with the setting's layers and pooling, on the CPU, in evaluation mode.

        Raises ModelError for a folder without sound weights, and for a quantized model, which is a graph only.
        """
        if self.spec.precision == "int8":
            raise ModelError(
                f"model '{self.model}' is quantized, for backend openvino; it has no weights for torch"
            )
        options = {
            "attn_implementation": attention,
            "config": self._config,
            "dtype": torch.float32,
            "use_safetensors": True,
            "trust_remote_code": False,
        }
        try:
            with quiet():  # an unused pooler or classifier is no news here
                network, report = transformers.AutoModel.from_pretrained(
                    self.folder, output_loading_info=True, **options
                )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"model '{self.model}' cannot be loaded: {str(error).splitlines()[0]}"
            ) from error
        missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ModelError(
                f"model '{self.model}' lacks weights that its configuration asks for: {', '.join(missing[:3])}"
            )
        return Featurizer(network, self.spec.layers, self.spec.pooling, self.layer_count).eval()


def longest_input(config: Any, tokenizer: Any) -> int:
    """How many tokens a model of this configuration takes."""
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if config.model_type in _OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1  # their position ids begin after the padding id
    return int(min(positions, tokenizer.model_max_length))


def checkpoint_of(model: str, **setting: Unpack[Setting]) -> Checkpoint:
    """Open a model by name; see :func:`engine.backends.load.load_encoder` for the setting."""
    return Checkpoint(model_folder(model), model_name(model), setting)


def token_texts(model: str, tokens: Tokens) -> list[tuple[list[str], list[int]]]:
    """Each sequence's tokens as the model's vocabulary has them, and their segment ids."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder(model), trust_remote_code=False)
    pieces = np.split(np.arange(len(tokens.ids)), tokens.starts[1:])
    return [
        (tokenizer.convert_ids_to_tokens(tokens.ids[p].tolist()), tokens.type_ids[p].tolist()) for p in pieces
    ]


def _quantized(folder: Path) -> dict[str, Any]:
    """The setting that a quantized model was made for, empty for any other model."""
    record = folder / INT8_RECORD
    if not record.is_file():
        return {}
    try:
        return {**json.loads(record.read_text(encoding="utf-8"))["setting"], "precision": "int8"}
    except (ValueError, KeyError) as error:
        raise ModelError(f"'{record}' is damaged; quantize the model again") from error


class Featurizer(torch.nn.Module):
    """Token ids to features in float32: the encoder, and the pooling of the layers wanted."""

    def __init__(
        self, network: torch.nn.Module, layers: tuple[int, ...], pooling: tuple[str, ...], layer_count: int
    ):
        super().__init__()
        self.network, self.layers, self.pooling = network, layers, pooling
        stack = getattr(getattr(network, "encoder", None), "layer", None)
        if isinstance(stack, torch.nn.ModuleList):
            del stack[max(layers) :]  # layers above the highest one wanted are not computed
            layer_count = len(stack)
        self._only_last = layers == (layer_count,)
        self._takes_type_ids = "token_type_ids" in inspect.signature(network.forward).parameters

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Int64 [rows, length] each; features [rows, parts * hidden], or [rows, length, layers * hidden] for tokens."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._takes_type_ids:
            inputs["token_type_ids"] = token_type_ids
        if self._only_last:
            hidden = {self.layers[0]: self.network(**inputs).last_hidden_state}
        else:
            states = self.network(
                **inputs, output_hidden_states=True
            ).hidden_states  # the first is the embeddings
            hidden = {layer: states[layer] for layer in self.layers}
        return poolings.features(hidden, attention_mask, self.layers, self.pooling)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' warnings and bars off the screen during a block."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)


def parse_poolings(pooling: str | Sequence[str]) -> tuple[str, ...]:
    """Poolings as names; as text they are separated by commas."""
    return tuple(part.strip() for part in pooling.split(",")) if isinstance(pooling, str) else tuple(pooling)


def digests(folder: Path) -> tuple[str, str]:
    """SHA-256 of a model folder's weights and of its tokenizer, over the files' names and contents."""
    return _digest(folder, WEIGHT_FILES), _digest(folder, TOKENIZER_FILES)


def _digest(folder: Path, patterns: Iterable[str]) -> str:
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        with open(path, "rb") as file:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
