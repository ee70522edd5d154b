"""A model's folder, opened once: its tokenizer, and the setting that its features have.

Its weights are not read.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ...store import FeatureSpec, ModelError, Setting
from ...store.parts import parse_layers
from .digests import digests
from .facts import KnownModel, ModelFacts
from .model_files import INT8_RECORD, model_folder, model_name

if TYPE_CHECKING:
    from .tokens import Tokenizer, Tokens


class Checkpoint:
    """What all backends share of a model: ``folder``, ``spec``, ``tokenizer`` and ``layer_count``."""

    def __init__(
        self,
        folder: Path,
        model: str,
        setting: Setting,
        *,
        verify: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ):
        """Raises ModelError for a folder that holds no model, and SpecError for an impossible setting."""
        self.folder, self.model = folder, model
        weights, tokenizer_digest = digests(folder, verify=verify)
        self._known = KnownModel(folder, model, tokenizer_digest, say)
        facts = self._known.facts
        self.layer_count = facts.layer_count
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
            hidden_size=facts.hidden_size,
            **values,
        )
        for name in ("layers", "pooling"):
            if quantized and list(values[name]) != quantized[name]:
                made = ",".join(map(str, quantized[name]))
                raise ModelError(
                    f"model '{model}' was quantized for {name} {made}; quantize it again for others"
                )
        if self.spec.max_length > facts.longest_input:
            raise ModelError(
                f"max_length is {self.spec.max_length}, but model '{model}' takes "
                f"{facts.longest_input} tokens; "
                f"pass --max-length {facts.longest_input}"
            )

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """Texts to token ids, cut as the setting says; loaded when it is first needed."""
        from .tokens import Tokenizer

        return Tokenizer(self._known.tokenizer(), self.spec, pad_id=self._known.facts.pad_id)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> "Tokens":
        """Token ids of texts or pairs."""
        return self.tokenizer(texts, pairs)

    def token_texts(self, tokens: "Tokens") -> list[tuple[list[str], list[int]]]:
        """Each sequence's tokens as the model's vocabulary has them, and their segment ids."""
        vocabulary = self._known.tokenizer()
        texts = [vocabulary.id_to_token(number) or "" for number in tokens.ids.tolist()]
        stops = np.append(tokens.starts[1:], len(texts)).tolist()
        rows = zip(tokens.starts.tolist(), stops, strict=True)
        return [(texts[start:stop], tokens.type_ids[start:stop].tolist()) for start, stop in rows]


def checkpoint_of(
    model: str | Path,
    *,
    verify_model: bool = False,
    say: Callable[[str], None] = lambda _: None,
    **setting: Unpack[Setting],
) -> Checkpoint:
    """Open a model by name; see :func:`engine.backends.load.load_encoder` for the setting."""
    model = str(model)
    return Checkpoint(model_folder(model), model_name(model), setting, verify=verify_model, say=say)


def facts_of(model: str, *, verify_model: bool = False) -> ModelFacts:
    """Sizes of a model, by its name. Raises ModelError for what is none."""
    folder = model_folder(model)
    return KnownModel(folder, model_name(model), digests(folder, verify=verify_model)[1]).facts


def parse_poolings(pooling: str | Sequence[str]) -> tuple[str, ...]:
    """Poolings as names; as text they are separated by commas."""
    if isinstance(pooling, str):
        return tuple(part.strip() for part in pooling.split(","))
    return tuple(pooling)


def _quantized(folder: Path) -> dict[str, Any]:
    """The setting that a quantized model was made for, empty for any other model."""
    record = folder / INT8_RECORD
    if not record.is_file():
        return {}
    try:
        return {**json.loads(record.read_text(encoding="utf-8"))["setting"], "precision": "int8"}
    except (ValueError, KeyError) as error:
        raise ModelError(f"'{record}' is damaged; quantize the model again") from error
