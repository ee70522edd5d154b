"""What is frozen of a model, computed once into a store: the states that a fine-tune begins from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from transformers.training_args import ParallelMode

from ...store import ModelError, Source, SourceError, Store
from ..backends.load import load_encoder
from ..encode.build import build_features
from ..encode.model_files import EMBEDDED_MODEL
from ..heads.upper_arguments import require_architecture
from .frozen_states import states_of
from .options import FineTuneOptions
from .text_sets import FineTuneData


def require_cached(options: FineTuneOptions, config: Any) -> None:
    """Raise SourceError or ModelError where stored states cannot give what the options ask for."""
    if not options.model.cached:
        return
    training, frozen = options.training, options.model.freeze_layers
    require_architecture(config.model_type)
    if frozen >= config.num_hidden_layers:
        raise ModelError(
            f"the model has {config.num_hidden_layers} layers, and --freeze_layers {frozen} leaves none to "
            "train on stored states; pass a lower number"
        )
    unfit = {
        "neftune_noise_alpha": "it changes the embeddings, which are not computed",
        "activation_checkpointing": "it saves memory of the whole model, which is not run",
        "torch_compile": "the model is run in part",
        "deepspeed": "the model is run in part",
        "fsdp": "the model is run in part",
    }
    for name, reason in unfit.items():
        if getattr(training, name, None):
            raise SourceError(f"--{name} cannot hold with --cached: {reason}; leave one of them out")
    if training.parallel_mode != ParallelMode.NOT_PARALLEL:
        raise SourceError("--cached trains in one process on one device; leave it out for several")


def stored_states(
    options: FineTuneOptions,
    folder: Path,
    length: int,
    sets: FineTuneData,
    scratch: Path,
    say: Callable[[str], None],
) -> None:
    """Compute the states of the highest frozen layer for all texts that the store lacks, and let the sets
    serve them.

    Without bf16 or fp16 they are computed and stored in float32, so that nothing is lost.
    """
    model, training = options.model, options.training
    exact: dict[str, Any] = {}
    if not (training.bf16 or training.fp16):
        exact = {"dtype": "float32", "precision": "fp32"}
    encoder = load_encoder(
        EMBEDDED_MODEL if model.model_name_or_path == EMBEDDED_MODEL else folder,
        layers=str(model.freeze_layers),
        pooling="tokens",
        max_length=length,
        say=say,
        **exact,
    )
    store = Store(model.cached or "")
    for name, rows in sets.sets.items():
        path = scratch / f"{name}-texts.parquet"
        pq.write_table(rows.texts(), path)
        pair = "pair" if sets.pair_column else None
        source = Source(path, text_column="text", pair_column=pair)
        built = build_features(source, store, encoder)
        say(
            f"{name}: states of layer {model.freeze_layers} of {built.distinct:,} texts, of which "
            f"{built.encoded:,} were new, in '{store}' as '{built.feature_set}'"
        )
        rows.states = states_of(source, store.open(built.feature_set))
