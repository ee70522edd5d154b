import numpy as np
import pytest
import torch
from enc.engine.audit.similar import Vectors, similar_rows


class Held:
    """Features in memory, served as a plan's are."""

    def __init__(self, values):
        self.values, self.rows = values, len(values)

    def blocks(self, rows, first, stop):
        return iter([self.values[first:stop]])


def vectors(rows, seed=0, mean=0.0):
    values = np.random.default_rng(seed).standard_normal((rows, 5)).astype(np.float16)
    return Vectors(Held(values), torch.full((5,), mean))


def cosines(one, other):
    return (one.block(0, one.rows) @ other.block(0, other.rows).T).numpy()


SIZES = [(rows, tile_rows) for rows in (1, 2, 50) for tile_rows in (1, 7, 64, 1000)]


@pytest.mark.parametrize(("rows", "tile_rows"), [*SIZES, (700, 7), (700, 64), (700, 1000)])
def test_tiles_find_what_all_cosines_say(rows, tile_rows):
    one = vectors(rows, mean=0.3)
    found = similar_rows(one, nearest=3, tile_rows=tile_rows)
    every = cosines(one, one)
    np.fill_diagonal(every, -np.inf)
    earlier = np.where(np.tri(rows, k=-1) > 0, every, -np.inf)
    assert found.row[0] == -1
    assert found.cosine[0] == -np.inf
    assert np.allclose(found.cosine[1:], earlier.max(1)[1:], atol=1e-5)
    numbers = np.arange(1, rows)
    assert np.allclose(earlier[numbers, found.row[1:]], found.cosine[1:], atol=1e-5)
    if rows > 3:
        assert np.allclose(found.mean, np.sort(every, 1)[:, -3:].mean(1), atol=1e-5)


@pytest.mark.parametrize("tile_rows", [7, 1000])
def test_rows_are_compared_with_others(tile_rows):
    one, other = vectors(60), vectors(45, seed=1)
    found = similar_rows(one, other, nearest=4, tile_rows=tile_rows)
    every = cosines(one, other)
    assert np.allclose(found.cosine, every.max(1), atol=1e-5)
    assert (found.row == every.argmax(1)).all()
    assert np.allclose(found.mean, np.sort(every, 1)[:, -4:].mean(1), atol=1e-5)


def test_progress_comes_to_all_rows():
    done = []
    similar_rows(vectors(50), tile_rows=8, progress=done.append)
    assert sum(done) == 50


def test_rows_that_are_the_mean_are_like_nothing():
    values = np.ones((3, 5), np.float32)
    found = similar_rows(Vectors(Held(values), torch.ones(5)), nearest=1)
    assert found.cosine[1:].tolist() == [0, 0]
