"""Where models for sequence classification have their heads, by architecture."""

from dataclasses import dataclass

from ...store import ModelError


@dataclass(frozen=True)
class HeadLayout:
    """Where a model of an architecture has its head: dense layer, activation, classifier."""

    dense: str
    activation: str
    """``tanh``, ``relu`` or ``gelu`` (with the error function)."""
    classifier: str


_ROBERTA = HeadLayout("classifier.dense", "tanh", "classifier.out_proj")
LAYOUTS = {
    "bert": HeadLayout("bert.pooler.dense", "tanh", "classifier"),
    "ernie": HeadLayout("ernie.pooler.dense", "tanh", "classifier"),
    "megatron-bert": HeadLayout("bert.pooler.dense", "tanh", "classifier"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": _ROBERTA,
    "electra": HeadLayout("classifier.dense", "gelu", "classifier.out_proj"),
    "distilbert": HeadLayout("pre_classifier", "relu", "classifier"),
}
"""By ``model_type`` of a configuration."""


def layout_of(model_type: str | None) -> HeadLayout:
    """The layout of an architecture's head. Raises ModelError, listing those known, for another one."""
    if model_type not in LAYOUTS:
        raise ModelError(
            f"models of type {model_type} cannot be taken apart into encoder and head; "
            f"there are {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[model_type]
