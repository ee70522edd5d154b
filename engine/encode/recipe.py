"""A model's own recipe: how its makers turn a text into a vector, as sentence-transformers writes it.

``modules.json`` in the model's folder lists modules that run one after the other: a Transformer, a
Pooling, and then Dense and Normalize, in any order. Files of sentence-transformers 2 to 6 are known. Only
JSON and the headers of safetensors files are read here: no weights, no pickles, no code of the folder.
What cannot be followed exactly is an error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...store import ModelError
from ...store.setting import POOLINGS
from ...store.steps import ACTIVATIONS, NORMALIZE, DenseStep
from .model_json import flag, inner_path, read_json, read_object, refuse_unknown, size

MODULES = "modules.json"
MODEL_CONFIG = "config_sentence_transformers.json"
TRANSFORMER_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Of the Transformer, in the order in which sentence-transformers looks for them."""
RECIPE_FILES = (MODULES, MODEL_CONFIG, *TRANSFORMER_CONFIGS)
"""Files of a recipe that lie beside the weights; see :func:`inner_files` for the others."""
DENSE_WEIGHTS = "model.safetensors"
MODULE_CONFIG = "config.json"
_TYPE = re.compile(
    r"sentence_transformers\.(?:models|base\.modules|sentence_transformer\.modules)(?:\.\w+)*\.(\w+)"
)
_KNOWN = ("Transformer", "Pooling", "Dense", "Normalize")
_OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Flags of releases before 6, in the order in which the pooled vectors are concatenated."""
_VECTOR = "sentence_embedding"


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer after the pooling."""

    file: str
    """Path of its weights inside the model's folder."""
    inputs: int
    outputs: int
    activation: str
    """One of store.steps.ACTIVATIONS."""


@dataclass(frozen=True)
class ModelRecipe:
    """What ``modules.json`` and the modules' files say."""

    pooling: tuple[str, ...]
    """Poolings of the last layer, in order of concatenation."""
    layers: tuple[DenseLayer | None, ...]
    """What follows the pooling, in order: linear layers, and None for Normalize."""
    max_length: int | None
    """Tokens of a text that the model's makers keep; None where they leave it to the model's size."""
    lowercase: bool
    """Whether a text is put in lower case before the tokenizer reads it."""
    pools_prompt: bool
    """Whether a prompt's tokens are pooled with those of the text."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the linear layers' weights inside the model's folder."""
        return tuple(layer.file for layer in self.layers if layer is not None)

    def steps(self, digest_of: Callable[[str], str]) -> tuple[str, ...]:
        """What follows the pooling as a setting has it; ``digest_of`` gives the SHA-256 of a file."""
        return tuple(
            str(DenseStep(layer.outputs, layer.activation, digest_of(layer.file))) if layer else NORMALIZE
            for layer in self.layers
        )

    def require_width(self, hidden_size: int) -> None:
        """Raise ModelError unless the linear layers fit each other and the network's width."""
        width = len(self.pooling) * hidden_size
        for layer in self.layers:
            if layer is None:
                continue
            if layer.inputs != width:
                raise ModelError(f"{layer.file} takes {layer.inputs} features, but gets {width}")
            width = layer.outputs


def read_recipe(folder: Path) -> ModelRecipe | None:
    """The recipe in a model's folder; None for a folder without ``modules.json``.

    Raises ModelError, naming the file or module, for a recipe that cannot be followed exactly.
    """
    if not (folder / MODULES).is_file():
        return None
    modules = module_paths(folder)
    names = [name for name, _ in modules]
    if names[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & set(names[2:]):
        raise ModelError(
            f"{MODULES} lists {', '.join(names) or 'nothing'}; enc follows a Transformer and a Pooling, "
            "and after them Dense and Normalize"
        )
    if modules[0][1]:
        raise ModelError(
            f"{MODULES} has its Transformer in the folder '{modules[0][1]}'; pass this folder as the model, "
            "with a --pooling of your own"
        )
    _require_plain_vectors(folder)
    max_length, lowercase = _transformer(folder)
    pooling, pools_prompt = _pooling(folder, modules[1][1])
    layers = tuple(
        _dense(folder, path) if name == "Dense" else _normalize(folder, path) for name, path in modules[2:]
    )
    return ModelRecipe(pooling, layers, max_length, lowercase, pools_prompt)


def module_paths(folder: Path) -> list[tuple[str, str]]:
    """Kind and folder of each module, in order. Raises ModelError for a module that enc does not know."""
    entries = read_json(folder / MODULES, MODULES)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelError(f"{MODULES} holds no list of modules")
    names, found = set(), []
    for number, entry in enumerate(entries):
        written = str(entry.get("type"))[:120]
        kind = _TYPE.fullmatch(written)
        if kind is None or kind[1] not in _KNOWN:
            raise ModelError(
                f"{MODULES} names the module '{written}', which enc does not have "
                f"(it has: {', '.join(_KNOWN)})"
            )
        name = str(entry.get("name", number))
        if name in names:
            raise ModelError(f"{MODULES} names two modules '{name[:80]}'")
        names.add(name)
        path = inner_path(entry.get("path", ""), MODULES)
        found.append((kind[1], "" if path.as_posix() == "." else path.as_posix()))
    return found


def inner_files(folder: Path) -> dict[str, bool]:
    """Paths of the files of the modules that have folders of their own, and whether a recipe needs them."""
    found = {}
    for name, path in module_paths(folder):
        if path:
            found[f"{path}/{MODULE_CONFIG}"] = name != "Normalize"
        if path and name == "Dense":
            found[f"{path}/{DENSE_WEIGHTS}"] = True
    return found


def _require_plain_vectors(folder: Path) -> None:
    """Raise ModelError where the whole model's configuration asks for more than the modules do."""
    path = folder / MODEL_CONFIG
    if not path.is_file():
        return
    config = read_object(path, MODEL_CONFIG)
    kind = config.get("model_type")
    if kind not in (None, "SentenceTransformer"):
        raise ModelError(f"{MODEL_CONFIG} is of a {str(kind)[:80]}, not of a SentenceTransformer")
    if config.get("truncate_dim") is not None:
        raise ModelError(f"{MODEL_CONFIG} cuts vectors short (truncate_dim), which enc does not do")


def _transformer(folder: Path) -> tuple[int | None, bool]:
    """Maximum length, and whether texts are put in lower case."""
    for name in TRANSFORMER_CONFIGS:
        config = read_object(folder / name, name) if (folder / name).is_file() else {}
        if config:
            break
    else:
        return None, False
    refuse_unknown(config, _TRANSFORMER_KEYS, name)
    for key in ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args",
                "config_kwargs", "processing_kwargs", "tokenizer_name_or_path"):  # fmt: skip
        value = config.get(key)
        others = set(value) - {"trust_remote_code"} if isinstance(value, dict) else value
        if others:
            raise ModelError(f"{name} sets '{key}', which enc does not follow")
    text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    expected = {
        "transformer_task": "feature-extraction",
        "modality_config": text,
        "module_output_name": "token_embeddings",
    }
    for key, value in expected.items():
        if config.get(key) not in (None, value):
            raise ModelError(f"{name} asks for more than the hidden states of texts ({key})")
    tokenizer = folder / "tokenizer_config.json"
    if tokenizer.is_file() and read_object(tokenizer, tokenizer.name).get("truncation_side") == "left":
        raise ModelError("tokenizer_config.json cuts texts on the left (truncation_side)")
    return size(config, "max_seq_length", name), flag(config, "do_lower_case", False, name)


_TRANSFORMER_KEYS = (
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name",
    "model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs",
    "processing_kwargs", "tokenizer_name_or_path",
    # How batches are laid out, and lengths of tasks that `encode` knows nothing of:
    "unpad_inputs", "query_length", "document_length", "query_expansion",
)  # fmt: skip


def _pooling(folder: Path, path: str) -> tuple[tuple[str, ...], bool]:
    """Poolings in order, and whether a prompt is pooled."""
    shown = _inside(path, MODULE_CONFIG)
    config = read_object(folder / shown, shown)
    sizes = ("embedding_dimension", "word_embedding_dimension")
    refuse_unknown(config, (*sizes, "pooling_mode", "include_prompt", *_OLD_MODES), shown)
    modes: Any = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _OLD_MODES.items() if flag(config, key, False, shown)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    known = [name for name in POOLINGS if name != "tokens"]
    if not isinstance(modes, list) or not modes or any(mode not in known for mode in modes):
        raise ModelError(f"{shown} has the pooling {modes!r}; enc has {', '.join(known)}")
    if len(set(modes)) < len(modes):
        raise ModelError(f"{shown} has a pooling twice: {', '.join(modes)}")
    return tuple(modes), flag(config, "include_prompt", True, shown)


def _normalize(folder: Path, path: str) -> None:
    shown = _inside(path, MODULE_CONFIG)
    if (folder / shown).is_file():
        config = read_object(folder / shown, shown)
        refuse_unknown(config, ("module_input_name", "module_output_name"), shown)
        _require_vector_names(config, shown)


def _dense(folder: Path, path: str) -> DenseLayer:
    shown, file = _inside(path, MODULE_CONFIG), _inside(path, DENSE_WEIGHTS)
    config = read_object(folder / shown, shown)
    known = ("in_features", "out_features", "bias", "activation_function", "module_input_name",
             "module_output_name", "use_residual")  # fmt: skip
    refuse_unknown(config, known, shown)
    _require_vector_names(config, shown)
    if flag(config, "use_residual", False, shown):
        raise ModelError(f"{shown} adds the input to the output (use_residual), which enc does not do")
    inputs, outputs = (size(config, key, shown) for key in ("in_features", "out_features"))
    if inputs is None or outputs is None:
        raise ModelError(f"{shown} lacks in_features or out_features")
    written = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))[:120]
    kind = re.fullmatch(r"torch\.nn(?:\.modules\.\w+)?\.(\w+)", written)
    if kind is None or kind[1].lower() not in ACTIVATIONS:
        raise ModelError(f"{shown} has the activation '{written}', which enc does not have")
    expected = {"linear.weight": [outputs, inputs]}
    if flag(config, "bias", True, shown):
        expected["linear.bias"] = [outputs]
    _require_shapes(folder, file, expected)
    return DenseLayer(file, inputs, outputs, kind[1].lower())


def _require_shapes(folder: Path, file: str, expected: dict[str, list[int]]) -> None:
    """Raise ModelError unless a safetensors file holds tensors of just these names and shapes."""
    path = folder / file
    if not path.is_file():
        raise ModelError(
            f"{file} is missing; a pytorch_model.bin in its place is a pickle, which enc does not read, and "
            "SentenceTransformer(…).save(…) writes it as safetensors"
        )
    try:
        with safe_open(path, framework="numpy") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} cannot be read ({str(error).splitlines()[0]})") from error
    if shapes != expected:
        raise ModelError(f"{file} holds tensors {shapes}, but its configuration wants {expected}")


def _require_vector_names(config: dict[str, Any], shown: str) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, _VECTOR):
            raise ModelError(f"{shown} works on '{str(config[key])[:80]}' ({key}), not on the pooled vector")


def _inside(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
