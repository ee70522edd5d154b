import numpy as np
from enc.engine.pairs.fourier import WIDTHS, fourier_features, fourier_tables


def test_products_of_the_features_are_gaussian_kernels():
    values = np.random.default_rng(0).normal(5, 2, size=(40, 6)).astype(np.float32)
    features = fourier_features(values, fourier_tables(values, 30_000))
    scaled = (values - values.mean(0)) / values.std(0)
    distances = np.square(scaled[:, None] - scaled[None]).sum(2)
    kernel = np.mean([np.exp(-gamma / 6 * distances) for gamma in WIDTHS], axis=0)
    np.testing.assert_allclose(features @ features.T * 2 / 30_000, kernel, atol=0.03)


def test_one_seed_has_one_layer_and_constants_do_nothing():
    values = np.concatenate([np.random.default_rng(0).normal(size=(9, 2)), np.ones((9, 1))], 1).astype("f4")
    one, again, other = (fourier_tables(values, 4, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["phases"], other["phases"])
    changed = values.copy()
    changed[:, 2] = 7
    np.testing.assert_array_equal(fourier_features(values, one), fourier_features(changed, one))
