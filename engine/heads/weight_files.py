"""Weights in safetensors files, as NumPy arrays."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write tensors by name to a file that whoever may read its folder's other files can read.

    safetensors' own ``save_file`` makes a file for its owner alone.
    """
    path.write_bytes(save({name: np.asarray(one, order="C") for name, one in weights.items()}))


def share_weights(folder: Path) -> None:
    """Give a saved model's weights the permissions of its config.json, see :func:`write_weights`."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)


def read_weights(path: Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The tensors of a file by name, all of them or those of ``names`` that it has; bfloat16 as float32.

    Raises SafetensorError or OSError for a file that is none.
    """
    with safe_open(path, framework="numpy") as file:
        there = [name for name in file.keys() if names is None or name in names]  # noqa: SIM118
        if all(file.get_slice(name).get_dtype() != "BF16" for name in there):
            return {name: file.get_tensor(name) for name in there}
    import torch  # which has bfloat16, as NumPy has not

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in there}
    return {
        name: (one.float() if one.dtype == torch.bfloat16 else one).numpy() for name, one in tensors.items()
    }
