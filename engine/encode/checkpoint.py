"""A model's folder, opened once: its tokenizer, and the setting that its features have.

Its weights are not read.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ...store import FeatureSpec, ModelError
from ...store.steps import dense_step
from .asked import AskedOfModel, AskedSetting
from .digests import digests, file_digests
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
        setting: AskedSetting,
        *,
        verify: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ):
        """Raises ModelError for a folder that holds no model, and SpecError for an impossible setting."""
        self.folder, self.model = folder, model
        made_for = _setting_of_graph(folder)
        asked = AskedOfModel.of(setting, folder, model, made_for=made_for)
        weights, tokenizer_digest = digests(folder, verify=verify)
        files = asked.recipe.files if asked.recipe else ()
        layer_digests = file_digests(folder, files, verify=verify) if files else {}
        self._layer_files = {digest: folder / file for file, digest in layer_digests.items()}
        self._known = KnownModel(folder, model, tokenizer_digest, say)
        facts = self._known.facts
        self.layer_count = facts.layer_count
        values = asked.values(facts, layer_digests.__getitem__)
        self.spec = FeatureSpec(
            model=model,
            weights=weights,
            tokenizer=tokenizer_digest,
            hidden_size=facts.hidden_size,
            precision="full" if made_for is None else "int8",
            **values,
        )
        if made_for is not None:
            self._require_same_graph(made_for)
        if self.spec.max_length > facts.positions:
            raise ModelError(
                f"max_length is {self.spec.max_length}, but model '{model}' takes {facts.positions} tokens; "
                f"pass --max-length {facts.positions}"
            )
        if made_for is None:
            self._require_layers()
            for line in asked.lines(values):
                say(line)

    def layer_file(self, digest: str) -> Path:
        """The file with the weights of a linear layer after the pooling."""
        return self._layer_files[digest]

    def _require_same_graph(self, made_for: dict[str, Any]) -> None:
        """Raise ModelError unless the setting is the one that a quantized model's graph was made for."""
        for name in ("layers", "pooling", "after_pooling"):
            wanted = list(made_for.get(name, ()))
            if list(getattr(self.spec, name)) != wanted:
                raise ModelError(
                    f"model '{self.model}' was quantized for {name} {','.join(map(str, wanted)) or 'none'}; "
                    "quantize it again for others"
                )

    def _require_layers(self) -> None:
        """Raise ModelError where the setting has a linear layer that the model's folder has not."""
        for step in self.spec.after_pooling:
            dense = dense_step(step)
            if dense is not None and dense.weights not in self._layer_files:
                raise ModelError(
                    f"model '{self.model}' has no linear layer with the digest {dense.weights[:12]}…; "
                    "pass --model with the folder of the one that the features were made with"
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
    **setting: Unpack[AskedSetting],
) -> Checkpoint:
    """Open a model by name; see :func:`engine.backends.load.load_encoder` for the setting."""
    model = str(model)
    return Checkpoint(model_folder(model), model_name(model), setting, verify=verify_model, say=say)


def facts_of(model: str, *, verify_model: bool = False) -> ModelFacts:
    """Sizes of a model, by its name. Raises ModelError for what is none."""
    folder = model_folder(model)
    return KnownModel(folder, model_name(model), digests(folder, verify=verify_model)[1]).facts


def _setting_of_graph(folder: Path) -> dict[str, Any] | None:
    """The setting that a quantized model was made for; None for any other model."""
    record = folder / INT8_RECORD
    if not record.is_file():
        return None
    try:
        return dict(json.loads(record.read_text(encoding="utf-8"))["setting"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"'{record}' is damaged; quantize the model again") from error
