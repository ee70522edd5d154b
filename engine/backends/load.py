"""From a model's name and a setting to an encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from ...store import FeatureSpec, ModelError
from ...store.imported import require_encoder
from ..encode.asked import AskedSetting
from ..encode.checkpoint import Checkpoint, checkpoint_of
from ..encode.encoder import Encoder
from ..encode.model_files import EMBEDDED_MODEL
from .choice import choose


def load_encoder(
    model: str | Path = EMBEDDED_MODEL,
    *,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
    verify_model: bool = False,
    say: Callable[[str], None] | None = None,
    **setting: Unpack[AskedSetting],
) -> Encoder:
    """Load a BERT-like encoder: ``minilm`` (comes with enc), a local folder, or a hub id.

    ``setting`` is what distinguishes its features, by the names of :class:`FeatureSpec`'s fields:
    ``pooling``, ``layers`` (``"last"``), ``max_length``, ``prefix``, ``dtype``, ``long_text``, and so on.
    Without a ``pooling``, the model's own recipe decides (:mod:`engine.encode.recipe`): pooling, linear
    layers and normalizing, the maximum length up to 128, and the prompt. A model without a recipe has the
    mean of up to 128 tokens. A ``pooling`` that is named leaves the recipe out. ``normalize=True`` scales
    vectors to length 1 in any case, and ``prompt`` names a prompt of the model. ``layers`` is ``last``,
    ``all``, or numbers from 1, also as text: ``"6"``, ``"3,6"``, ``"9-12"``. ``backend`` and ``precision``
    decide how features are computed, not which: see :mod:`engine.backends.choice` for ``auto``. The weights
    are loaded when the first text is encoded. ``verify_model`` computes the digests of the model's files
    anew. ``say`` is told what was taken from the recipe, of what takes seconds before it is done, and once
    of a faster backend that is not installed. Only safetensors weights are read, and no code from the
    model's folder is run. Raises ModelError where the model or backend cannot be had and SpecError where the
    setting is impossible.
    """
    checkpoint = checkpoint_of(model, verify_model=verify_model, say=say or _unheard, **setting)
    return encoder_of(checkpoint, backend=backend, precision=precision, device=device, say=say)


def encoder_of(
    checkpoint: Checkpoint,
    *,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Encoder:
    """The encoder of a checkpoint. Raises as :func:`load_encoder`."""
    choice = choose(checkpoint, backend=backend, precision=precision, device=device, say=say)
    return Encoder(checkpoint.spec, checkpoint.layer_count, checkpoint.tokenize, choice, say or _unheard)


def load_encoder_of(
    spec: FeatureSpec,
    *,
    model: str | Path | None = None,
    backend: str = "auto",
    precision: str | None = None,
    device: str | None = None,
    verify_model: bool = False,
    say: Callable[[str], None] | None = None,
) -> Encoder:
    """Load the encoder of a setting, from its recorded model or from ``model`` where that has moved.

    Raises ModelError if what is found there is not the same encoder, and MissingFeatures for features that
    enc did not make.
    """
    require_encoder(spec)
    encoder = load_encoder(
        model or spec.model,
        backend=backend,
        precision=precision,
        device=device,
        verify_model=verify_model,
        say=say,
        **spec.setting,
    )
    differences = spec.differences(encoder.spec)
    if differences:
        raise ModelError(
            f"model '{model or spec.model}' is not the one the features were made with "
            f"({'; '.join(differences)}); pass --model with the folder of that one"
        )
    return encoder


def _unheard(message: str) -> None:
    """Where nobody wants to be told."""
