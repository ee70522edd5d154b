"""The encoder on PyTorch."""

import inspect
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from ..store import FeatureSpec, ModelError
from . import pooling
from .encoder import digests, parse_layers
from .tokens import TokenBatch, Tokenizer, Tokens

# A batch's activations should stay in the cache of a CPU; a GPU wants far more to be busy.
_TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 65536}


class TorchEncoder:
    """A transformers model in float32, on the CPU or a GPU."""

    def __init__(
        self,
        folder: Path,
        *,
        model: str,
        pooling: tuple[str, ...],
        layers: str | Sequence[int],
        max_length: int,
        prefix: str,
        dtype: str,
        device: str | None,
    ):
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # no fork follows in this process
        self.device = pick_device(device)
        try:
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(f"model '{model}' has no fast tokenizer (tokenizer.json); save one with transformers")
        weights, tokenizer_digest = digests(folder)
        self.spec = FeatureSpec(
            model=model,
            weights=weights,
            tokenizer=tokenizer_digest,
            hidden_size=config.hidden_size,
            layers=parse_layers(layers, config.num_hidden_layers),
            pooling=pooling,
            max_length=max_length,
            prefix=prefix,
            dtype=dtype,
        )
        self.layer_count: int = config.num_hidden_layers
        longest = _longest_input(config, tokenizer)
        if max_length > longest:
            raise ModelError(f"max_length is {max_length}, but model '{model}' takes {longest} tokens; pass --max-length {longest}")
        self._model = _load(folder, model, config).to(self.device)
        self._keep_needed_layers()
        self._takes_type_ids = "token_type_ids" in inspect.signature(self._model.forward).parameters
        self._tokenizer = Tokenizer(backend, max_length, prefix=prefix, pad_id=tokenizer.pad_token_id or 0)
        self.tokens_per_batch = _TOKENS_PER_BATCH.get(self.device.type, 2048)

    def _keep_needed_layers(self) -> None:
        """Drop the layers above the highest one wanted, where the architecture is BERT's."""
        stack = getattr(getattr(self._model, "encoder", None), "layer", None)
        if isinstance(stack, torch.nn.ModuleList):
            del stack[max(self.spec.layers) :]

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """See :class:`Encoder`."""
        return self._tokenizer(texts, pairs)

    @torch.inference_mode()
    def encode(self, batch: TokenBatch) -> np.ndarray:
        """See :class:`Encoder`. Raises ModelError where a value does not fit the stored dtype."""
        mask = torch.from_numpy(batch.attention_mask).to(self.device)
        inputs = {"input_ids": torch.from_numpy(batch.input_ids).to(self.device), "attention_mask": mask}
        if self._takes_type_ids:
            inputs["token_type_ids"] = torch.from_numpy(batch.token_type_ids).to(self.device)
        wanted = self.spec.layers
        if wanted == (self.layer_count,):
            hidden = {self.layer_count: self._model(**inputs).last_hidden_state}
        else:
            states = self._model(**inputs, output_hidden_states=True).hidden_states  # the first is the embeddings
            hidden = {layer: states[layer] for layer in wanted}
        values = pooling.features(hidden, mask, wanted, self.spec.pooling).to(getattr(torch, self.spec.dtype))
        if not torch.isfinite(values).all():
            raise ModelError(f"features of model '{self.spec.model}' do not fit {self.spec.dtype}; pass --dtype float32")
        if self.spec.pooling == ("tokens",):
            values = torch.nn.functional.pad(values, (0, 0, 0, self.spec.max_length - values.shape[1]))
        return values.cpu().numpy()


def pick_device(device: str | None) -> torch.device:
    """The device asked for, or the best there is. Raises ModelError for one that is not there."""
    cuda = torch.cuda.is_available()
    if device is None:
        return torch.device("cuda" if cuda else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"unknown device '{device}'; there is cpu{', cuda' if cuda else ''}") from error
    if chosen.type == "cuda" and not cuda:
        raise ModelError(f"device '{device}' is not here; this machine and this build of torch have: cpu")
    return chosen


def _load(folder: Path, model: str, config: transformers.PretrainedConfig) -> torch.nn.Module:
    options = {"config": config, "dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # an unused pooler or classifier is no news here
    transformers.logging.disable_progress_bar()
    try:
        network, report = transformers.AutoModel.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ModelError(f"model '{model}' lacks weights that its configuration asks for: {', '.join(missing[:3])}")
    return network.eval()


def _longest_input(config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xmod"):
        positions -= (config.pad_token_id or 0) + 1  # their position ids begin after the padding id
    return int(min(positions, tokenizer.model_max_length))
