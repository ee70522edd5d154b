"""A store: a folder of feature sets."""

import re
from pathlib import Path

from .errors import StoreError
from .spec import RECIPES, FeatureSpec
from .table import FeatureTable


def feature_set_names(store: str | Path) -> list[str]:
    """Names of the feature sets in a store. Raises StoreError if the folder is not one."""
    store = Path(store)
    if not store.is_dir():
        raise StoreError(f"there is no store at '{store}'; `enc build-features … --store {store}` makes one")
    names = sorted(path.parent.name for path in store.glob("*/_delta_log"))
    if not names:
        raise StoreError(
            f"'{store}' is not a store: no feature set is in it; `enc build-features … --store DIR` makes one"
        )
    return names


def open_feature_set(store: str | Path, name: str | None = None) -> FeatureTable:
    """Open a feature set by name; the name may be left out where the store has only one."""
    names = feature_set_names(store)
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        problem = (
            f"'{store}' has several feature sets"
            if name is None
            else f"there is no feature set '{name}' in '{store}'"
        )
        raise StoreError(f"{problem} (it has: {', '.join(names)}); pass one of them with --features")
    return FeatureTable(Path(store) / name)


def create_feature_set(store: str | Path, name: str, spec: FeatureSpec) -> FeatureTable:
    """Open a feature set, making it (and the store) if need be. Raises SpecError where its setting differs."""
    store = Path(store)
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith((".", "_")):
        raise StoreError(f"'{name}' cannot name a feature set; use letters, digits, '.', '_' and '-'")
    if store.exists():
        if not store.is_dir():
            raise StoreError(f"'{store}' is a file, not a store; pass a folder with --store")
        if any(store.iterdir()):
            feature_set_names(store)  # refuses somebody's folder of other things
    return FeatureTable.create(store / name, spec)


def default_name(spec: FeatureSpec, model_layers: int) -> str:
    """A readable name for a setting, such as ``minilm-mean-128``; parts at their usual value are left out."""
    model = re.sub(r"[^\w.-]+", "-", spec.model.rstrip("/").rsplit("/", 1)[-1]).strip("-._") or "model"
    layers = ["layers" + _ranges(spec.layers)] if spec.layers != (model_layers,) else []
    if recipe := _recipe(spec):
        parts = [model, recipe, *layers]
    else:
        parts = [model, *spec.pooling, *layers, str(spec.max_length), *_unusual(spec)]
    if spec.prefix:
        parts.append(re.sub(r"\W+", "", spec.prefix) or "prefix")
    if spec.precision != "full":
        parts.append(spec.precision)
    if spec.dtype != "float16":
        parts.append(spec.dtype)
    return "-".join(parts)


def _recipe(spec: FeatureSpec) -> str | None:
    for name, setting in RECIPES.items():
        if all(getattr(spec, key) == value for key, value in setting.items() if key != "layers"):
            return name
    return None


def _unusual(spec: FeatureSpec) -> list[str]:
    parts = {
        f"windows{spec.stride or ''}": spec.long_text == "windows",
        f"first{spec.first_characters}": spec.first_characters > 0,
        "bare": not spec.special_tokens,
        "left": spec.padding_side == "left",
        "unmasked": not spec.attention_mask,
    }
    return [name for name, unusual in parts.items() if unusual]


def _ranges(layers: tuple[int, ...]) -> str:
    consecutive = layers == tuple(range(layers[0], layers[-1] + 1))
    return f"{layers[0]}to{layers[-1]}" if consecutive and len(layers) > 2 else "_".join(map(str, layers))
