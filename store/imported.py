"""Features that enc did not make: vectors of a model outside enc, with what is known of their setting.

Heads are trained on them as on others. What they lack is an encoder: the vectors of new texts come from
outside, too.
"""

from .errors import MissingFeatures, SpecError
from .setting import POOLINGS
from .spec import FeatureSpec

UNKNOWN = "unknown"
"""The pooling of vectors of which nobody told it."""


def imported_spec(
    model: str,
    width: int,
    *,
    pooling: str | None = None,
    max_length: int | None = None,
    prefix: str = "",
    dtype: str = "float32",
) -> FeatureSpec:
    """The setting of vectors of ``width`` numbers that ``model`` made outside enc.

    ``pooling``, ``max_length`` (tokens) and ``prefix`` are what is known of the setting. They tell one
    feature set from another, and enc does nothing with them. Raises SpecError for a name of no characters,
    or a pooling that does not make one vector of a text.
    """
    if not model.strip():
        raise SpecError("imported vectors need the name of the model that made them; pass --model NAME")
    vectors = [name for name in POOLINGS if name != "tokens"]
    if pooling is not None and pooling not in vectors:
        raise SpecError(f"unknown pooling '{pooling}' of imported vectors; there are {', '.join(vectors)}")
    return FeatureSpec(
        model=model,
        weights="",
        tokenizer="",
        hidden_size=width,
        layers=(1,),
        pooling=(pooling or UNKNOWN,),
        max_length=max_length or 0,
        prefix=prefix,
        dtype=dtype,
        imported=model,
    )


def require_encoder(spec: FeatureSpec, texts: str = "new texts") -> None:
    """Raise MissingFeatures where features of a setting cannot be made by enc.

    ``texts`` names what has no features, as the message begins.
    """
    if spec.imported:
        raise MissingFeatures(
            f"{texts} cannot be encoded: the features are vectors that '{spec.imported}' made outside enc; "
            "make the vectors of these texts there, and call the head's predict"
        )
