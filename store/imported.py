"""Features that enc did not make: vectors of a model outside enc, with what is known of their setting.

Heads are trained on them as on others. What they lack is an encoder: the vectors of new texts come from
outside, too.
"""

from typing import Any

from .errors import MissingFeatures, SpecError
from .nearest import unknown
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
    prefix: str | None = None,
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
    if pooling is not None and pooling not in (*vectors, UNKNOWN):
        raise SpecError(unknown("pooling of imported vectors", pooling, vectors))
    return FeatureSpec(
        model=model,
        weights="",
        tokenizer="",
        hidden_size=width,
        layers=(1,),
        pooling=(pooling or UNKNOWN,),
        max_length=max_length or 0,
        prefix=prefix or "",
        dtype=dtype,
        imported=model,
    )


def stored_setting(spec: FeatureSpec) -> dict[str, Any]:
    """What :func:`imported_spec` was given, beside the model and the width."""
    return {
        "pooling": spec.pooling[0],
        "max_length": spec.max_length,
        "prefix": spec.prefix,
        "dtype": spec.dtype,
    }


def require_known(spec: FeatureSpec, missing: int, where: str, table: str | None) -> None:
    """Raise MissingFeatures for texts of which an imported feature set has no vectors.

    ``where`` says where the first of the ``missing`` texts is; ``table`` names the feature set, or is None
    where there is none.
    """
    texts = "1 text has" if missing == 1 else f"{missing:,} texts have"
    place = f"in feature set '{table}'" if table else "here"
    mend = "" if table else "name the --store of these vectors, or "
    raise MissingFeatures(
        f"{texts} no vectors {place} ({where}), and enc cannot make them, as '{spec.imported}' did outside "
        f"enc; {mend}make them there, and add them with `enc import-features`"
    )


def require_encoder(spec: FeatureSpec, texts: str = "new texts") -> None:
    """Raise MissingFeatures where features of a setting cannot be made by enc.

    ``texts`` names what has no features, as the message begins.
    """
    if spec.imported:
        raise MissingFeatures(
            f"{texts} cannot be encoded: the features are vectors that '{spec.imported}' made outside enc; "
            "make the vectors of these texts there; `enc import-features` adds them to a store, and "
            "Head.predict takes them as they are"
        )
