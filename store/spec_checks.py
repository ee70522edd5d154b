"""What a setting must satisfy as a whole, beyond the values of its fields."""

from typing import TYPE_CHECKING

from .errors import SpecError

if TYPE_CHECKING:
    from .spec import FeatureSpec


def require_origin(spec: "FeatureSpec") -> None:
    """Raise SpecError for a maximum length that makes no sense for features of this origin.

    Of imported vectors the maximum length may not be known, and is then 0.
    """
    if spec.imported and spec.max_length == 0:
        return
    if spec.max_length < 3:
        raise SpecError(f"max_length is {spec.max_length}; it must leave room for special tokens and text")


def require_windows(spec: "FeatureSpec") -> None:
    """Raise SpecError for windows, or a stride of windows, that do not go with the rest of a setting."""
    if spec.long_text == "truncate":
        if spec.stride:
            raise SpecError("stride is for windows: pass --long-text windows with it")
        return
    if spec.pooling == ("tokens",):
        raise SpecError(
            "long_text 'windows' needs features that can be pooled; pooling 'tokens' keeps max_length tokens"
        )
    if spec.padding_side != "right" or not spec.attention_mask:
        raise SpecError("long_text 'windows' goes with padding on the right and an attention mask")
    if not 0 <= spec.stride <= spec.max_length // 2:
        raise SpecError(
            f"stride is {spec.stride}; "
            f"windows of {spec.max_length} tokens can share 0 to {spec.max_length // 2}"
        )


def require_layout(spec: "FeatureSpec") -> None:
    """Raise SpecError for ragged rows of what has no tokens, or whose padding means something."""
    if spec.is_ragged and not spec.may_be_ragged:
        raise SpecError(
            "token_layout 'ragged' is for pooling 'tokens', padding on the right and an attention mask"
        )
