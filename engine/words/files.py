"""Words on disk: the n-grams as JSON, all numbers as safetensors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from .features import ANALYZERS, Block, WordFeatures
from .joining import Joining
from .model import WordModel
from .part import WordPart

VOCABULARY, NUMBERS = "words.json", "words.safetensors"


def save_words(part: WordPart, folder: Path) -> dict[str, str]:
    """Write both files; returns their digests by name, which :func:`load_words` wants to see again."""
    features, joining = part.model.features, part.joining
    blocks = [
        {"analyzer": block.analyzer, "ngrams": list(block.ngrams), "terms": list(block.terms)}
        for block in features.blocks
    ]
    description = {"is_of_pairs": features.is_of_pairs, "blocks": blocks}
    (folder / VOCABULARY).write_text(json.dumps(description, ensure_ascii=False) + "\n", encoding="utf-8")
    numbers = {f"idf.{number}": block.idf for number, block in enumerate(features.blocks)}
    numbers |= {
        "weights": part.model.weights,
        "bias": part.model.bias,
        "joining.weights": np.array([joining.head_weight, joining.words_weight]),
        "joining.bias": joining.bias,
    }
    content = save({name: np.ascontiguousarray(one) for name, one in numbers.items()})
    (folder / NUMBERS).write_bytes(content)  # save_file makes files for their owner alone
    return {name: _digest(folder / name) for name in (VOCABULARY, NUMBERS)}


def load_words(folder: Path, digests: dict[str, str], outputs: int) -> WordPart:
    """Read what :func:`save_words` wrote. No code is run, and nothing is unpickled.

    Raises ValueError, KeyError, TypeError, OSError or SafetensorError where the files are damaged, or are
    not those of a head with so many outputs.
    """
    for name in (VOCABULARY, NUMBERS):
        if _digest(folder / name) != digests[name]:
            raise ValueError(f"{name} is not the file that was saved with the head")
    saved = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
    with safe_open(folder / NUMBERS, framework="numpy") as file:
        numbers = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, one in numbers.items():
        if one.dtype.kind != "f" or not np.isfinite(one).all():
            raise ValueError(f"{name} of its words are not finite numbers")
    blocks = tuple(_block(one, numbers[f"idf.{number}"]) for number, one in enumerate(saved["blocks"]))
    if not blocks or not isinstance(saved["is_of_pairs"], bool):
        raise ValueError(f"{VOCABULARY} is incomplete")
    features = WordFeatures(blocks, saved["is_of_pairs"])
    shapes = {
        "weights": (outputs, features.width),
        "bias": (outputs,),
        "joining.weights": (2,),
        "joining.bias": (outputs,),
    }
    for name, shape in shapes.items():
        if numbers[name].shape != shape:
            raise ValueError(f"{name} of its words have shape {list(numbers[name].shape)}, not {list(shape)}")
    head_weight, words_weight = numbers["joining.weights"].tolist()
    joining = Joining(head_weight, words_weight, numbers["joining.bias"])
    return WordPart(WordModel(features, numbers["weights"], numbers["bias"]), joining)


def require_no_words(folder: Path) -> None:
    """Raise ValueError where the folder of a head that names no words has their files."""
    for name in (VOCABULARY, NUMBERS):
        if (folder / name).exists():
            raise ValueError(f"it holds {name}, and head.json does not name its words")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _block(saved: dict[str, Any], idf: np.ndarray) -> Block:
    terms, (first, last) = saved["terms"], saved["ngrams"]
    if saved["analyzer"] not in ANALYZERS or not 1 <= first <= last:
        raise ValueError(f"{VOCABULARY} names n-grams that there are not")
    if not terms or not all(isinstance(term, str) for term in terms) or len(set(terms)) != len(terms):
        raise ValueError(f"{VOCABULARY} holds n-grams that are no texts, or are there twice")
    if idf.shape != (len(terms),):
        raise ValueError(f"{VOCABULARY} holds {len(terms)} n-grams, and {NUMBERS} numbers for {len(idf)}")
    return Block(saved["analyzer"], (first, last), tuple(terms), idf)
