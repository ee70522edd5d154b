"""Whether int8 is good enough: the same head, trained on features of full precision and of int8."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from ..store import ModelError, Source, Store
from ..store.files import replaced_folder, require_replaceable
from .backends.candidates import Candidate
from .backends.choice import measure_all
from .backends.int8 import RECIPES, Recipe, quantize, require_packages
from .backends.load import encoder_of
from .backends.measure import measure_int8, sample_of
from .encode.asked import AskedSetting
from .encode.build import build_features
from .encode.checkpoint import checkpoint_of
from .encode.encoder import Encoder
from .encode.model_files import INT8_RECORD
from .train.config import TrainConfig
from .train.fit import train_head
from .train.validation import Fraction

MAX_LOSS = 0.005
"""Accuracy that int8 may cost, as a share: half a point."""
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Judgement:
    """Accuracy of the same head on full and on int8 features, means over seeds."""

    recipe: str
    full: float
    int8: float
    measured: Candidate
    """Rate of the int8 model on the sample, and its cosine to float32."""

    @property
    def passed(self) -> bool:
        """Whether int8 costs no more than MAX_LOSS."""
        return self.full - self.int8 <= MAX_LOSS


@dataclass(frozen=True)
class Judged:
    """What :func:`judge_int8` found."""

    full: list[Candidate]
    """All ways to encode in full precision, measured on the sample."""
    judgements: list[Judgement]
    """One for each recipe tried; the last one is kept if it passed."""

    @property
    def passed(self) -> bool:
        """Whether a model was written."""
        return self.judgements[-1].passed


def judge_int8(
    model: str,
    train: Source,
    output: str | Path,
    *,
    valid: Source | Fraction,
    label_column: str = "label",
    config: TrainConfig | None = None,
    recipes: Sequence[Recipe] = RECIPES,
    verify_model: bool = False,
    say: Callable[[str], None] = lambda _: None,
    **setting: Unpack[AskedSetting],
) -> Judged:
    """Quantize ``model`` on texts of ``train``, and keep it in ``output`` if a head on its features is as
    good.

    Recipes are tried in order until one passes; ``output`` is not touched if none does. All texts
    are encoded once in full precision and once for each recipe, in a temporary store.
    ``verify_model`` computes the digests of the model's files anew. Raises ModelError where NNCF or
    OpenVINO is missing.
    """
    require_replaceable(Path(output), INT8_RECORD, ModelError, "an int8 model")
    require_packages()
    checkpoint = checkpoint_of(model, verify_model=verify_model, say=say, **setting)
    if checkpoint.spec.precision == "int8":
        raise ModelError(f"model '{model}' is quantized already")
    sample = sample_of(checkpoint, train)
    say("measuring full precision …")
    measured, judgements = measure_all(checkpoint, sample).candidates, []
    with tempfile.TemporaryDirectory(prefix="enc-") as work:

        def accuracy(encoder: Encoder) -> float:
            for source in (train, valid) if isinstance(valid, Source) else (train,):
                build_features(source, Path(work, "store"), encoder, name=encoder.spec.precision)
            table = Store(Path(work, "store")).open(encoder.spec.precision)
            configs = [replace(config or TrainConfig(), seed=seed) for seed in SEEDS]
            heads = [
                train_head(train, table, valid=valid, label_column=label_column, config=one)
                for one in configs
            ]
            return float(np.mean([head.metrics["accuracy"] for head in heads]))

        say("encoding in full precision …")
        accuracy_full = accuracy(encoder_of(checkpoint))
        for recipe in recipes:
            say(f"quantizing: {recipe.name} …")
            folder = Path(work, "model")
            quantize(checkpoint, sample, recipe, folder)
            quantized = checkpoint_of(str(folder), **checkpoint.spec.setting)
            figures = measure_int8(quantized, checkpoint, sample)
            say("encoding in int8 …")
            judgements.append(Judgement(recipe.name, accuracy_full, accuracy(encoder_of(quantized)), figures))
            if judgements[-1].passed:
                with replaced_folder(Path(output)) as part:
                    shutil.copytree(folder, part, dirs_exist_ok=True)
                break
            shutil.rmtree(Path(work, "store", "int8"))
    return Judged(measured, judgements)
