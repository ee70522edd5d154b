"""Encoders that this process has loaded, so that the copies of an estimator share one."""

from threading import Lock
from typing import Any

from ...store import FeatureSpec
from ..backends.load import load_encoder, load_encoder_of
from ..encode.encoder import Encoder

_LOADED: dict[tuple[Any, ...], Encoder] = {}
_LOCK = Lock()


def encoder_of(spec: FeatureSpec | None, options: dict[str, Any]) -> Encoder:
    """The encoder of ``load_encoder(**options)``, or of a setting with ``options`` for its backend.

    The model's files are looked at each time, so that a model that has changed is another one; its weights
    are loaded once.
    """
    fresh = load_encoder(**options) if spec is None else load_encoder_of(spec, **options)
    backend = tuple(options.get(name) for name in ("backend", "precision", "device"))
    with _LOCK:
        return _LOADED.setdefault((fresh.spec.digest, fresh.spec.model, *backend), fresh)
