"""From what a user asked of a model to a whole setting: what is left unsaid comes from the model's recipe."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...store import ModelError, Setting, SpecError
from ...store.parts import parse_layers
from ...store.steps import NORMALIZE, dense_step
from .facts import ModelFacts
from .prompts import Prompts, read_prompts, unused_prompts
from .recipe import MODULES, ModelRecipe, read_recipe

MAX_LENGTH = 128
"""Tokens kept of a text, where neither the user nor the model's recipe wants fewer."""
OWN = "model"
"""As a pooling: what the model's own recipe says."""


class AskedSetting(Setting, total=False):
    """A :class:`Setting` as people ask for it.

    ``pooling`` may be missing, or ``"model"``, for the model's own recipe.
    """

    prompt: str
    """Name of a prompt in the model's folder, in place of ``prefix``."""
    normalize: bool
    """Whether vectors are scaled to length 1 in the end."""


@dataclass
class AskedOfModel:
    """What a user asks of a model in a folder, beside what the folder says.

    A pooling that is named leaves the model's recipe out altogether. Without one, the recipe decides on
    the pooling and the steps after it, on lower case, on the maximum length up to 128, and on the prompt.
    """

    given: dict[str, Any]
    """Fields of :class:`FeatureSpec` that the user chose."""
    model: str
    prompt: str | None = None
    is_normalized: bool = False
    recipe: ModelRecipe | None = None
    prompts: Prompts = field(default_factory=lambda: Prompts({}))
    takes_recipe: bool = False
    """Whether what is left unsaid comes from the recipe."""

    @classmethod
    def of(
        cls, asked: AskedSetting, folder: Path, model: str, *, made_for: dict[str, Any] | None = None
    ) -> "AskedOfModel":
        """Read what the folder says, as far as it matters.

        ``made_for`` is the setting of a quantized model, and stands in the place of a recipe. Raises
        ModelError for a recipe that cannot be followed, and SpecError for ``prompt`` and ``prefix`` together.
        """
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        prompt, is_normalized = given.pop("prompt", None), given.pop("normalize", False)
        if "pooling" in given and parse_poolings(given["pooling"]) == (OWN,):
            del given["pooling"]
        given = {**(made_for or {}), **given}
        if "pooling" in given:
            given["pooling"] = parse_poolings(given["pooling"])
        if prompt is not None and given.get("prefix"):
            raise SpecError("a prompt is a prefix with a name: pass --prompt or --prefix, not both")
        found = cls(given, model, prompt, is_normalized)
        if made_for is not None:
            return found
        found.takes_recipe = "pooling" not in given
        try:
            if found.takes_recipe or any(map(dense_step, given.get("after_pooling", ()))):
                found.recipe = read_recipe(folder)
            if found.takes_recipe and "prefix" not in given:
                found.prompts = read_prompts(folder)
        except ModelError as error:
            raise not_followed(model, str(error)) from error
        if prompt is not None:
            found.prompts = read_prompts(folder)
        elif "prefix" not in given:
            with suppress(ModelError):  # prompts are only told of, then
                found.prompts = read_prompts(folder)
        return found

    def values(self, facts: ModelFacts, digest_of: Callable[[str], str]) -> dict[str, Any]:
        """Fields of a :class:`FeatureSpec`, but for the model's identity.

        ``digest_of`` gives the SHA-256 of a file of the recipe. Raises ModelError for a recipe that does
        not fit the network, and SpecError for layers or a prompt that there are not.
        """
        longest = min(MAX_LENGTH, facts.longest_input)
        values: dict[str, Any] = {"pooling": ("mean",), "layers": "last", "max_length": longest}
        if self.takes_recipe and self.recipe is not None:
            values |= self._recipe_values(self.recipe, facts, digest_of)
            values["max_length"] = min(longest, self.recipe.max_length or longest)
        values |= self.given
        if self.prompt is not None:
            values["prefix"] = self.prompts.named_prompt(self.prompt, self.model)
        values["layers"] = parse_layers(values["layers"], facts.layer_count)
        steps = tuple(values.get("after_pooling", ()))
        if "after_pooling" not in self.given and values["layers"] != (facts.layer_count,):
            steps = ()  # they are for the vector that the model's makers pool from its last layer
        if self.is_normalized and steps[-1:] != (NORMALIZE,):
            steps += (NORMALIZE,)
        values["after_pooling"] = steps
        if "token_layout" not in values and "tokens" in values["pooling"] and _is_padded_aside(values):
            values["token_layout"] = "ragged"
        if self.takes_recipe and self.recipe and not self.recipe.pools_prompt and values.get("prefix"):
            raise not_followed(self.model, "its Pooling leaves out the prompt's tokens (include_prompt)")
        return values

    def _recipe_values(
        self, recipe: ModelRecipe, facts: ModelFacts, digest_of: Callable[[str], str]
    ) -> dict[str, Any]:
        if facts.kind != "encoder":
            raise not_followed(
                self.model, f"it is {facts.kind}, and enc is for encoders such as BERT; choose one of these"
            )
        try:
            recipe.require_width(facts.hidden_size)
        except ModelError as error:
            raise not_followed(self.model, str(error)) from error
        return {
            "pooling": recipe.pooling,
            "after_pooling": recipe.steps(digest_of),
            "lowercase": recipe.lowercase,
            "prefix": self.prompts.default_text,
        }

    def lines(self, values: dict[str, Any]) -> list[str]:
        """What people are to be told of how the setting came about: a line, or two."""
        found = []
        if self.takes_recipe:
            found.append(f"{self.model}: {self._taken(values)}")
        if "prefix" not in self.given and not values.get("prefix") and self.prompt is None:
            found.append(unused_prompts(self.prompts, self.model))
        return [line for line in found if line]

    def _taken(self, values: dict[str, Any]) -> str:
        if self.recipe is None:
            return f"mean pooling is assumed, because its folder has no {MODULES}; --pooling chooses another"
        parts = [f"{' and '.join(values['pooling'])} pooling", *map(_words, values["after_pooling"])]
        told = f"{', '.join(parts)}, as its {MODULES} says; at most {values['max_length']} tokens of a text"
        if self.recipe.layers and not values["after_pooling"]:
            told += "; what follows the pooling there is for its last layer, and is left out"
        if values.get("prefix") and "prefix" not in self.given:
            told += f", with {values['prefix']!r} before it"
        return told


def _is_padded_aside(values: dict[str, Any]) -> bool:
    """Whether padding is on the right and masked, so that it says nothing and need not be stored."""
    return values.get("padding_side", "right") == "right" and values.get("attention_mask", True)


def not_followed(model: str, reason: str) -> ModelError:
    """The error for a recipe that enc cannot follow."""
    return ModelError(
        f"the recipe of model '{model}' cannot be followed: {reason}; "
        "--pooling mean, cls or another leaves the recipe out"
    )


def parse_poolings(pooling: str | Sequence[str]) -> tuple[str, ...]:
    """Poolings as names; as text they are separated by commas."""
    if isinstance(pooling, str):
        return tuple(part.strip() for part in pooling.split(","))
    return tuple(pooling)


def _words(step: str) -> str:
    dense = dense_step(step)
    if dense is None:
        return "normalized"
    return f"a dense layer to {dense.width} ({dense.activation})"
