"""A head of upper layers and the model below it as one ordinary model for sequence classification."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from ..store import FeatureSpec, HeadError, ModelError
from ..store.files import replaced_folder, require_replaceable, require_writable
from .encode.facts import quiet
from .encode.model_files import TOKENIZER_FILES
from .finetune.tuned_files import RECORD
from .heads.head import Head
from .heads.kinds import ENCODER
from .heads.layouts import LAYOUTS
from .heads.upper import EncoderHead, layers_of
from .heads.weight_files import share_weights
from .train.begin_encoder import folder_of, upper_configuration

_PROBLEMS = {
    "regression": "regression",
    "single-label": "single_label_classification",
    "multi-label": "multi_label_classification",
}
_NEARLY_ZERO = 1e-3
"""Scale at which tanh of a state is the state, to what float32 can tell apart."""


def merge_head(
    head: Head, folder: str | Path, *, model: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write the model that a head `encoder` belongs to: its lower layers as they were, the head's above them.

    transformers' ``AutoModelForSequenceClassification`` loads it, and ``enc score --model`` scores with it.
    ``model`` is the folder of the original model, where it has moved. Raises HeadError for a head that no
    such model computes, and ModelError where the original model is not here, or is another one now.
    """
    folder = Path(folder)
    _require_mergeable(head)
    if folder.exists() and not overwrite and (not folder.is_dir() or any(folder.iterdir())):
        raise HeadError(f"'{folder}' is there already; choose another folder, or pass --overwrite")
    require_replaceable(folder, "config.json", HeadError, "a model")
    require_writable(folder.absolute().parent if folder.exists() else folder, HeadError)
    source = folder_of(head.spec, None if model is None else str(model))
    if folder.exists() and folder.resolve() == source.resolve():
        raise HeadError(f"'{folder}' is the folder of the model itself; choose another one")
    merged = merged_model(head, source)
    with replaced_folder(folder) as part:
        with quiet():
            merged.save_pretrained(part)
        share_weights(part)
        for pattern in TOKENIZER_FILES:
            for file in source.glob(pattern):
                if not (part / file.name).exists():
                    shutil.copyfile(file, part / file.name)
        (part / RECORD).write_text(
            json.dumps(_record(head), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return folder


def _require_mergeable(head: Head) -> None:
    """Raise HeadError for a head that is none of upper layers, or that an ordinary model cannot compute."""
    spec = head.spec
    problem = ""
    if head.kind != ENCODER:
        problem = f"it is of kind '{head.kind}'; `enc train-head --head {ENCODER}` makes one of upper layers"
    elif head.members > 1:
        problem = f"it is an ensemble of {head.members}; train it without --ensemble"
    elif head.words is not None:
        problem = "it has words beside the layers; pass --without-words to merge these alone"
    elif head.arguments.get("pooling") == "mean":
        problem = "it takes the mean of the states; train it with --head-args pooling=model or pooling=cls"
    else:
        problem = _changed_texts(spec)
    if problem:
        raise HeadError(f"the head cannot become a part of its model: {problem}")


def _changed_texts(spec: FeatureSpec) -> str:
    """What is done to texts that an ordinary model's user would not know to do; empty if nothing is."""
    if spec.prefix:
        return f"its texts have the prefix '{spec.prefix}', which the model's users would not add"
    if spec.first_characters or spec.lowercase:
        return "its texts are cut by characters or put in lower case before they are tokenized"
    return ""


@torch.no_grad()
def merged_model(head: Head, source: Path) -> Any:
    """The model with the head's layers and classifier, in evaluation mode. Raises as :func:`merge_head`."""
    network: Any = head.network
    upper: EncoderHead = network.head
    own = upper_configuration(source, head.spec, head.arguments["layers"])
    own.num_labels = head.outputs_count
    own.problem_type = _PROBLEMS[head.task.name]
    if head.task.has_classes:
        names = list(map(str, head.labels.values))
        own.id2label = dict(enumerate(names))
        own.label2id = {name: number for number, name in enumerate(names)}
    try:
        with quiet():
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                source,
                config=own,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"model '{source}' cannot be loaded: {str(error).splitlines()[0]}") from error
    model.eval()
    for above, layer in zip(layers_of(model)[upper.first :], layers_of(upper.model), strict=True):
        above.load_state_dict(layer.state_dict())
    _copy_others(upper, model if upper.pooling == "model" else model.base_model)
    if upper.pooling == "cls":
        _become_linear(model, upper.classifier, head)
    if network.targets:
        final = model.get_submodule(_final_name(model))
        final.weight.mul_(network.target_scale)
        final.bias.mul_(network.target_scale).add_(network.target_mean)
    return model


def _copy_others(upper: EncoderHead, model: Any) -> None:
    """Copy what the head has beside its layers."""
    in_layers = {id(one) for one in layers_of(upper.model).state_dict(keep_vars=True).values()}
    own = model.state_dict(keep_vars=True)
    for name, one in upper.model.state_dict(keep_vars=True).items():
        if id(one) not in in_layers:
            own[name].copy_(one)


def _final_name(model: Any) -> str:
    layout = LAYOUTS.get(model.config.model_type)
    return "classifier" if layout is None else layout.classifier


def _become_linear(model: Any, linear: torch.nn.Linear, head: Head) -> None:
    """Make the architecture's classifier compute a linear layer on the first token's state.

    Before a tanh the state is made small, and before a rectifier it is made positive. Raises HeadError for an
    architecture whose classifier also normalizes.
    """
    model_type = model.config.model_type
    if model_type not in LAYOUTS:
        raise HeadError(
            f"a model of type {model_type} has no place for a linear layer on the first token's state; "
            "train the head with --head-args pooling=model"
        )
    layout = LAYOUTS[model_type]
    dense, final = model.get_submodule(layout.dense), model.get_submodule(layout.classifier)
    identity = torch.eye(dense.weight.shape[0])
    if layout.activation == "tanh":
        dense.weight.copy_(identity * _NEARLY_ZERO)
        dense.bias.zero_()
        final.weight.copy_(linear.weight / _NEARLY_ZERO)
        final.bias.copy_(linear.bias)
        return
    shift = _largest_state(model)
    dense.weight.copy_(identity)
    dense.bias.fill_(shift)
    final.weight.copy_(linear.weight)
    final.bias.copy_((linear.bias.double() - linear.weight.double().sum(1) * shift).float())


def _largest_state(model: Any) -> float:
    """A bound of the values that the last norm of a model gives."""
    norms = [one for one in layers_of(model)[-1].modules() if isinstance(one, torch.nn.LayerNorm)]
    last: Any = norms[-1]
    width = last.weight.shape[0]
    return float(last.weight.abs().max()) * width**0.5 + float(last.bias.abs().max()) + 8.0


def _record(head: Head) -> dict[str, Any]:
    """What tells how the model is used; see :func:`engine.finetune.results.write_record`."""
    return {
        "format": 1,
        "task_name": None,
        "labels": list(head.labels.values),
        "max_length": head.spec.max_length,
        "text_column": head.text_column,
        "pair_column": head.pair_column,
        "metrics": {},
        "merged": {"layers_below": head.spec.layers[0], "weights_below": head.spec.weights},
        "versions": {package: version(package) for package in ("enc-features", "torch", "transformers")},
    }
