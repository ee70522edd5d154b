"""What a user chooses of an encoder setting: the names, the values, and recipes of them."""

from collections.abc import Sequence
from typing import TypedDict

POOLINGS = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", "tokens")
"""Names of sentence-transformers, and ``tokens`` for features that are not pooled."""
DTYPES = {"float16": 2, "float32": 4}
"""Stored element types, and their bytes."""
PRECISIONS = ("full", "int8")
LONG_TEXT = ("truncate", "windows")
PADDING_SIDES = ("right", "left")
TOKEN_LAYOUTS = ("padded", "ragged")


class Setting(TypedDict, total=False):
    """The part of a :class:`FeatureSpec` that a user chooses, as ``load_encoder`` takes it; see there."""

    pooling: str | Sequence[str]
    layers: str | Sequence[int]
    max_length: int
    prefix: str
    dtype: str
    long_text: str
    stride: int
    first_characters: int
    special_tokens: bool
    padding_side: str
    attention_mask: bool
    after_pooling: Sequence[str]
    lowercase: bool
    token_layout: str


RECIPES: dict[str, Setting] = {
    # The features of a well-known tutorial's second kind of transfer learning; heads flatten them.
    "flat32": {
        "pooling": ("tokens",),
        "layers": "last",
        "max_length": 32,
        "first_characters": 32,
        "special_tokens": False,
        "padding_side": "left",
        "attention_mask": False,
        "token_layout": "padded",
    },
}
"""Settings that have a name."""
