"""From a model's name and a setting to an encoder."""

from typing import Unpack

from ...store import FeatureSpec, ModelError, Setting
from ..encode.encoder import Encoder
from ..encode.model_files import EMBEDDED_MODEL


def load_encoder(
    model: str = EMBEDDED_MODEL,
    *,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
    **setting: Unpack[Setting],
) -> Encoder:
    """Load a BERT-like encoder: ``minilm`` (comes with enc), a local folder, or a hub id.

    ``setting`` is what distinguishes its features, by the names of :class:`FeatureSpec`'s fields:
    ``pooling`` (``"mean"`` unless given), ``layers`` (``"last"``), ``max_length`` (128), ``prefix``,
    ``dtype``, ``long_text``, and so on. ``layers`` is ``last``, ``all``, or numbers from 1, also as
    text: ``"6"``, ``"3,6"``, ``"9-12"``. ``backend`` and ``precision`` decide how features are computed, not which: see
    :mod:`engine.backends.calibrate` for ``auto``. Only safetensors weights are read, and no code from the
    model's folder is run. Raises ModelError where the model or backend cannot be had and SpecError
    where the setting is impossible.
    """
    from ..encode.checkpoint import checkpoint_of
    from .calibrate import choose_encoder  # torch and transformers take seconds to import

    checkpoint = checkpoint_of(model, **setting)
    return choose_encoder(checkpoint, backend=backend, precision=precision, device=device)


def load_encoder_of(
    spec: FeatureSpec,
    *,
    model: str | None = None,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
) -> Encoder:
    """Load the encoder of a setting, from its recorded model or from ``model`` where that has moved.

    Raises ModelError if what is found there is not the same encoder.
    """
    encoder = load_encoder(
        model or spec.model,
        backend=backend,
        precision=precision,
        device=device,
        **spec.setting,
    )
    differences = spec.differences(encoder.spec)
    if differences:
        raise ModelError(
            f"model '{model or spec.model}' is not the one the features were made with ({'; '.join(differences)}); "
            "pass --model with the folder of that one"
        )
    return encoder
