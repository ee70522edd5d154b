"""What is known of a model without its weights: its sizes, and its tokenizer as transformers makes it.

transformers reads a model's configuration and builds its tokenizer, which is not always the one in
tokenizer.json. That takes seconds to import. What came out of it is kept in the cache folder, by the
digests of the files that it came from and by the releases that made it, and is read from there the
next time, with the library ``tokenizers`` alone.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...store import ModelError
from ...store.files import replaced_file
from .model_files import cache_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FORMAT = 2
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xmod")


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a model, and what pads its inputs."""

    layer_count: int
    hidden_size: int
    longest_input: int
    """Tokens of the longest input that the model takes, and that its tokenizer's files allow."""
    positions: int
    """Tokens of the longest input that the model takes, whatever its tokenizer's files say."""
    pad_id: int
    kind: str
    """``encoder``, or for people ``a decoder`` or ``an encoder with a decoder``."""


class KnownModel:
    """A model's facts and its tokenizer, from the cache folder, or from transformers where they are not there
    yet.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        tokenizer_digest: str,
        say: Callable[[str], None] = lambda _: None,
    ):
        """``say`` is told where transformers has to be asked.

        Raises ModelError for a folder that transformers cannot read, or that has no fast tokenizer.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # no fork follows in this process
        self._path = cache_folder() / "models" / f"{_key(folder, tokenizer_digest)}.json"
        self._tokenizer: Tokenizer | None = None
        found = self._read()
        if found is None:
            say(f"reading {model} for the first time …")
            found = self._made(folder, model)
        self.facts: ModelFacts = found

    def tokenizer(self) -> "Tokenizer":
        """The tokenizer as transformers makes it; loaded when it is first asked for."""
        from tokenizers import Tokenizer

        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_file(str(self._tokenizer_path))
        return self._tokenizer

    @property
    def _tokenizer_path(self) -> Path:
        return self._path.with_suffix(".tokenizer.json")

    def _read(self) -> ModelFacts | None:
        try:
            facts = ModelFacts(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return facts if self._tokenizer_path.is_file() else None

    def _made(self, folder: Path, model: str) -> ModelFacts:
        from tokenizers import Tokenizer
        from transformers import AutoConfig, AutoTokenizer

        try:
            config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"model '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise ModelError(
                f"model '{model}' has no fast tokenizer (tokenizer.json); save one with transformers"
            )
        try:
            facts = ModelFacts(
                layer_count=config.num_hidden_layers,
                hidden_size=config.hidden_size,
                longest_input=longest_input(config, tokenizer),
                positions=_positions(config, tokenizer),
                pad_id=tokenizer.pad_token_id or 0,
                kind=_kind(config),
            )
        except AttributeError as error:
            raise ModelError(
                f"model '{model}' ({config.model_type}) is no encoder of texts; choose one such as BERT"
            ) from error
        self._tokenizer = backend
        self._keep(facts, backend)
        return facts

    def _keep(self, facts: ModelFacts, tokenizer: "Tokenizer") -> None:
        """Write both files, the facts last; where the folder cannot be written, the next run asks
        transformers again.
        """
        try:
            with replaced_file(self._tokenizer_path) as part:
                part.write_text(tokenizer.to_str(), encoding="utf-8")
            with replaced_file(self._path) as part:
                part.write_text(json.dumps(asdict(facts)), encoding="utf-8")
        except OSError:
            return


def longest_input(config: Any, tokenizer: Any) -> int:
    """How many tokens a model of this configuration takes, and its tokenizer allows."""
    return min(_positions(config, tokenizer), int(tokenizer.model_max_length))


def _positions(config: Any, tokenizer: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if config.model_type in _OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1  # their position ids begin after the padding id
    return int(positions)


def _kind(config: Any) -> str:
    """What a network is, by its configuration; BERT, which can also be a decoder, is an encoder."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if getattr(config, "is_encoder_decoder", False):
        return "an encoder with a decoder"
    writes, fills = (
        config.model_type in names
        for names in (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    )
    if getattr(config, "is_decoder", False) or (writes and not fills):
        return "a decoder"
    return "encoder"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' warnings and bars off the screen during a block."""
    from transformers import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _key(folder: Path, tokenizer_digest: str) -> str:
    configuration = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    parts = (_FORMAT, configuration, tokenizer_digest, version("transformers"), version("tokenizers"))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
