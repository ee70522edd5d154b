import numpy as np
import pytest
from enc.engine.pairs.vectors import cosines, difference, parts_of, pooled_parts, product
from fakes import fake_spec


def test_every_layer_and_pooling_has_a_cosine():
    spec = fake_spec(layers=(1, 2), pooling=("mean", "cls"))
    rng = np.random.default_rng(0)
    u, v = (pooled_parts(spec, rng.normal(size=(3, *spec.shape)).astype("f2")) for _ in range(2))
    assert u.shape == (3, *parts_of(spec)) == (3, 4, 4)
    pairs = zip(u, v, strict=True)
    by_hand = [[a @ b / np.sqrt(a @ a * (b @ b)) for a, b in zip(*rows, strict=True)] for rows in pairs]
    np.testing.assert_allclose(cosines(u, v), by_hand, rtol=1e-5)


def test_a_vector_of_zeros_has_no_cosine():
    assert cosines(np.zeros((1, 1, 4), np.float32), np.ones((1, 1, 4), np.float32)).tolist() == [[0]]


def test_a_vector_that_went_through_a_dense_layer_is_one_part():
    spec = fake_spec(pooling=("mean", "max"), after_pooling=("normalize",))
    assert parts_of(spec) == (1, 8)


@pytest.mark.parametrize("combine", [difference, product, cosines])
def test_these_do_not_depend_on_the_order_of_a_pair(combine):
    u, v = np.random.default_rng(1).normal(size=(2, 5, 2, 4)).astype(np.float32)
    np.testing.assert_array_equal(combine(u, v), combine(v, u))
