"""Where the training of a head `encoder` begins: layers of the model that made the features, with their
weights, and a classifier that is a linear probe.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from ...store import FeatureSpec, HeadError, ModelError
from ..encode.digests import digests
from ..encode.facts import quiet
from ..encode.model_files import model_folder
from ..heads.by_length import computed_by_length
from ..heads.head import Head
from ..heads.kinds import ENCODER
from ..heads.making import make_head
from ..heads.networks import Standardized
from ..heads.upper import EncoderHead, cut
from ..heads.upper_arguments import require_architecture
from .config import TrainConfig
from .examples import Examples, TrainData
from .given_probe import begin_as_given, begin_nearly_linear
from .judging import make_loss
from .lbfgs import LinearProblem
from .token_rows import rows_of

_PROBE_L2 = 0.1
"""Of standardized features, and a row: strong, as suits a few thousand rows of some hundred features."""
_NEW = ("classifier", "pre_classifier", "pooler", "head", "score")


def begun_encoder(data: TrainData, config: TrainConfig) -> Standardized:
    """A head `encoder` with the weights of the model that made the features.

    Raises HeadError for features that its layers cannot go on from and for a linear head that its classifier
    cannot begin as, and ModelError where the model is not here, is another one now, or has no such layers.
    """
    asked = dict(config.head_args)
    require_states(data.spec)
    probe = Head.load(config.head_init) if config.head_init is not None else None
    folder = folder_of(data.spec, asked.pop("model", None))
    own = upper_configuration(folder, data.spec, asked.get("layers"))
    first, outputs = data.spec.layers[0], data.outputs
    own.num_labels = outputs
    values = {
        name: value
        for name, value in json.loads(own.to_json_string()).items()
        if name not in ("_name_or_path", "auto_map", "transformers_version", "architectures", "dtype")
    }
    values["model_type"] = own.model_type
    arguments = {**asked, "config": values, "first": first}
    network = make_head(ENCODER, data.shape, outputs, arguments, targets=not data.task.has_classes)
    head: Any = network.head
    head.model.load_state_dict(_upper_weights(folder, own, first, head), strict=True)
    network.skip_idle_scaling()
    if network.targets:
        network.target_mean.fill_(float(np.mean(data.train.targets, dtype=np.float64)))
        network.target_scale.fill_(float(np.std(data.train.targets, dtype=np.float64)))
    if probe is not None:
        begin_as_given(network, probe, data)
    elif head.init == "probe":
        _begin_as_probe(network, data, config)
    return network.train()


def require_states(spec: FeatureSpec) -> None:
    """Raise HeadError unless features are the states of one layer, as the layer above it takes them."""
    problem = ""
    if spec.pooling != ("tokens",):
        problem = f"these are pooled ({', '.join(spec.pooling)}); build some with --pooling tokens"
    elif len(spec.layers) > 1:
        problem = f"these are of {len(spec.layers)} layers; choose one with --use layers={spec.layers[0]}"
    elif spec.precision != "full":
        problem = (
            "these are of a quantized model, which has no layers to train; build some of the model itself"
        )
    elif not spec.attention_mask or spec.padding_side != "right" or not spec.special_tokens:
        problem = "these are padded on the left, unmasked or without special tokens, as no layer was trained"
    if problem:
        raise HeadError(f"head '{ENCODER}' goes on from the tokens' states in one layer, and {problem}")


def folder_of(spec: FeatureSpec, moved_to: str | None) -> Path:
    """The folder of the model that made features. Raises ModelError where it has changed."""
    name = moved_to or spec.model
    folder = model_folder(name)
    if digests(folder)[0] != spec.weights:
        raise ModelError(
            f"model '{name}' is not the one that the features were made with: its weights are others; "
            "pass --head-args model=DIR with the folder of that one"
        )
    return folder


def upper_configuration(folder: Path, spec: FeatureSpec, layers: int | None) -> Any:
    """The configuration of a model that ends with the highest layer of the head.

    Raises HeadError where the model has not so many layers above those of the features.
    """
    own = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    require_architecture(own.model_type)
    first = spec.layers[0]
    left = own.num_hidden_layers - first
    if left < 1:
        lower = max(0, first - (layers or 2))
        raise HeadError(
            f"the features are of the last of {first} layers, which leaves none for head '{ENCODER}'; "
            f"build features of a lower one, such as --layers {lower}"
        )
    if layers is not None and layers > left:
        raise HeadError(
            f"the features are of layer {first} of {own.num_hidden_layers}, which leaves {left} for head "
            f"'{ENCODER}', not {layers}; pass --head-args layers={left}, or build features of a lower layer"
        )
    own.num_hidden_layers = first + (layers or left)
    if getattr(own, "layer_types", None):
        own.layer_types = own.layer_types[: own.num_hidden_layers]
    return own


def _upper_weights(folder: Path, own: Any, first: int, head: EncoderHead) -> dict[str, torch.Tensor]:
    """The model's weights by their names in the head; fresh ones for what the model has not."""
    kind: Any = AutoModelForSequenceClassification if head.pooling == "model" else AutoModel
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder,
                config=own,
                output_loading_info=True,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # a classifier for other labels
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model '{folder}' cannot be loaded: {str(error).splitlines()[0]}") from error
    random = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
    lacking = [name for name in random if not any(part in _NEW for part in name.split("."))]
    if lacking:
        raise ModelError(f"model '{folder}' lacks weights that its configuration asks for: {lacking[0]}")
    cut(model, first)
    wanted = head.model.state_dict()
    return {name: one for name, one in model.state_dict().items() if name in wanted}


@dataclass(frozen=True)
class _Held:
    """Pooled features in memory, served as :class:`store.batches.PlannedFeatures` serves them."""

    values: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    def take(self, positions: np.ndarray) -> np.ndarray:
        return self.values[positions]

    def blocks(self, rows: int, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        stop = self.rows if stop is None else stop
        return (self.values[start : min(start + rows, stop)] for start in range(first, stop, rows))


def _begin_as_probe(network: Standardized, data: TrainData, config: TrainConfig) -> None:
    """Make the classifier a regularised regression on what the untrained layers give it.

    A dense layer with a tanh before it begins as nearly the identity, as that of
    :func:`engine.finetune.begin.begin_as` does.
    """
    head: Any = network.head
    final, dense = head.final()
    examples = data.train
    inputs = _inputs_of(dense or final, network, examples)
    held: Any = _Held(inputs.numpy())
    probed = replace(data, train=Examples(held, examples.targets, examples.summary))
    problem = LinearProblem(probed, make_loss(data, config))
    weights, _, _ = problem.minimum(problem.start(), _PROBE_L2)
    linear: Any = problem.network(weights).head
    with torch.no_grad():
        weight, bias = linear.fc1.weight, linear.fc1.bias
        if dense is not None:
            begin_nearly_linear(dense, final, weight, bias, inputs.mean(0), inputs.std(0).clamp(min=1e-6))
            return
        final.weight.copy_(weight)
        final.bias.copy_(bias)


def _inputs_of(module: torch.nn.Module, network: Standardized, examples: Examples) -> torch.Tensor:
    """What a module of a network is given for each row, float32 [rows, width]."""
    given: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))

    def run(batch: torch.Tensor) -> torch.Tensor:
        given.clear()
        network(batch)
        return given[0]

    try:
        network.eval()
        return computed_by_length(network, partial(rows_of, examples.features), examples.token_counts, run)
    finally:
        hook.remove()
