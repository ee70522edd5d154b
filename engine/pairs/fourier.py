"""A layer that bends: random Fourier features, which make a linear head one with Gaussian kernels.

Rahimi and Recht, Random Features for Large-Scale Kernel Machines, NIPS 2007. The kernel here is a mean of
Gaussian kernels of several widths, so that none has to be chosen.
"""

from collections.abc import Mapping

import numpy as np

WIDTHS = (0.03, 0.1, 0.3)
"""Of the kernels: ``gamma`` times the number of standardized values."""
_CLIP = 5.0  # deviations; beyond, a value says no more than that it is far off


def fourier_tables(values: np.ndarray, components: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The layer's tables, of a sample of the values [rows, width] that it will be given."""
    generator, width = np.random.default_rng(seed), values.shape[1]
    mean, deviation = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    gammas = np.array(WIDTHS)[np.arange(components) % len(WIDTHS)] / width
    frequencies = generator.standard_normal((width, components)) * np.sqrt(2 * gammas)
    tables = {
        "mean": mean,
        "scale": np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6),
        "frequencies": frequencies,
        "phases": generator.uniform(0, 2 * np.pi, components),
    }
    return {name: np.asarray(table, np.float32) for name, table in tables.items()}


def fourier_features(values: np.ndarray, tables: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features float32 [rows, components] of values [rows, width]."""
    scaled = np.clip((values - tables["mean"]) * tables["scale"], -_CLIP, _CLIP)
    return np.cos(scaled @ tables["frequencies"] + tables["phases"])
