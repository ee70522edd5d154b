"""Prompts: texts that a model's makers put before every text when they trained it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...store import ModelError, SpecError
from .model_json import read_object
from .recipe import MODEL_CONFIG


@dataclass(frozen=True)
class Family:
    """Models that were trained with prompts, whether their folders tell it or not."""

    title: str
    name: str
    """A regular expression of their names, in lower case."""
    remark: str
    """What was put before which texts."""


_SEARCH = "Represent this sentence for searching relevant passages: "
_SEARCH_ZH = "为这个句子生成表示以用于检索相关文章："


def _for_queries(prompt: str) -> str:
    return f"with --prefix '{prompt}' before search queries, and with nothing before other texts"


FAMILIES = (
    Family(
        "E5 instruct",
        r"\be5-.*instruct\b",
        "with an instruction before each query, such as 'Instruct: Classify the review', a line break, "
        "and 'Query: '; pass yours with --prefix",
    ),
    Family(
        "E5",
        r"\be5-(?!mistral)",
        "with 'query: ' or 'passage: ' before each text; --prefix 'query: ' suits most tasks",
    ),
    Family(
        "Nomic Embed",
        r"\bnomic-embed-text\b",
        "with its task before each text; --prefix 'classification: ' is for classifiers",
    ),
    Family("Arctic Embed 2", r"\barctic-embed-[lm]-v2\b", _for_queries("query: ")),
    Family("Arctic Embed", r"\barctic-embed\b", _for_queries(_SEARCH)),
    Family("BGE", r"\bbge-(?:small|base|large)-zh\b", _for_queries(_SEARCH_ZH)),
    Family("BGE", r"\bbge-(?:small|base|large)-en\b", _for_queries(_SEARCH)),
    Family("mxbai-embed", r"\bmxbai-embed\b", _for_queries(_SEARCH)),
)
"""The first whose name is found in a model's name counts."""


@dataclass(frozen=True)
class Prompts:
    """What a model's folder says of prompts."""

    named: dict[str, str]
    """Prompts by name."""
    default: str | None = None
    """The name of the one that is put before every text unless another is asked for."""

    def named_prompt(self, name: str, model: str) -> str:
        """A prompt by its name. Raises SpecError, naming those that there are."""
        if name not in self.named:
            there = "; ".join(f"{key} {text!r}" for key, text in self.named.items())
            raise SpecError(
                f"model '{model}' has no prompt '{name}' "
                f"({f'it has: {there}' if there else 'its folder names none'}); "
                "pass one of its names, or --prefix with the text itself"
            )
        return self.named[name]

    @property
    def default_text(self) -> str:
        """The default prompt; empty where there is none."""
        return self.named[self.default] if self.default else ""


def read_prompts(folder: Path) -> Prompts:
    """Prompts in a model's folder. Raises ModelError for a file that cannot be understood."""
    path = folder / MODEL_CONFIG
    if not path.is_file():
        return Prompts({})
    config = read_object(path, MODEL_CONFIG)
    named: Any = config.get("prompts") or {}
    if not isinstance(named, dict) or not all(isinstance(text, str | None) for text in named.values()):
        raise ModelError(f"{MODEL_CONFIG} has prompts that are no texts by name")
    default = config.get("default_prompt_name")
    texts = {name: text or "" for name, text in named.items()}
    if default is not None and (not isinstance(default, str) or default not in texts):
        raise ModelError(f"{MODEL_CONFIG} names the default prompt {default!r}, but no such prompt")
    return Prompts(texts, default)


def unused_prompts(prompts: Prompts, model: str) -> str:
    """A line about prompts that the model was trained with, for a use without any; empty if it was not."""
    named = {name: text for name, text in prompts.named.items() if text}
    if named:
        there = ", ".join(f"{name} {text!r}" for name, text in list(named.items())[:4])
        more = f" and {len(named) - 4} more" if len(named) > 4 else ""
        return f"{model} was trained with prompts, and none is used: --prompt takes {there}{more}"
    family = family_of(model)
    return f"{model} is of a family ({family.title}) that was trained {family.remark}" if family else ""


def family_of(model: str) -> Family | None:
    """The family of a model by the last part of its name."""
    name = model.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1].lower()
    if re.fullmatch(r"[0-9a-f]{40}", name):  # a folder of the hub's cache, whose name is a commit
        name = model.lower()
    return next((family for family in FAMILIES if re.search(family.name, name)), None)
