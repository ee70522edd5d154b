import numpy as np
from enc.engine.pairs.alignment import FIGURES, CommonDirections, alignment, token_directions
from enc.engine.pairs.token_block import TokenBlock
from fakes import fake_spec

SPEC = fake_spec(pooling=("tokens",), layers=(1, 2), max_length=6, special_tokens=False)


def tokens(lengths, seed=0, spec=SPEC):
    values = np.random.default_rng(seed).normal(size=(len(lengths), *spec.shape)).astype(np.float32)
    for row, length in zip(values, lengths, strict=True):
        row[length:] = 0
    return values


def directions(spec, features):
    return token_directions(spec, TokenBlock.of(spec, features))


def test_figures_are_those_of_loops():
    first, second = tokens([2, 6], 1), tokens([5, 3], 2)
    common = np.eye(4, dtype=np.float32)[:2]
    found = alignment(directions(SPEC, first), directions(SPEC, second), common)
    for row, (a, b) in enumerate([(first[0, :2], second[0, :5]), (first[1], second[1, :3])]):
        for layer in range(2):
            u, v = (side.reshape(len(side), 2, 4)[:, layer] for side in (a, b))
            u, v = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (u, v))
            wanted = []
            for side, best in ((u, (u @ v.T).max(1)), (v, (u @ v.T).max(0))):
                weights = np.maximum(1 - side @ common[layer], 1e-3)
                wanted += [best.mean(), best.min(), best @ weights / weights.sum()]
            np.testing.assert_allclose(found[row, layer * FIGURES :][:FIGURES], wanted, rtol=1e-4)


def test_padding_and_other_rows_change_nothing():
    first, second, common = tokens([2, 6], 1), tokens([5, 3], 2), np.zeros((2, 4), np.float32)
    both = alignment(directions(SPEC, first), directions(SPEC, second), common)
    alone = alignment(directions(SPEC, first[:1]), directions(SPEC, second[:1]), common)
    np.testing.assert_allclose(both[:1], alone, rtol=1e-6)


def test_equal_texts_match_wholly():
    one = directions(SPEC, tokens([4]))
    np.testing.assert_allclose(alignment(one, one, np.zeros((2, 4), np.float32)), 1, rtol=1e-5)


def test_special_tokens_are_left_out():
    spec = fake_spec(pooling=("tokens",), max_length=6)
    _, is_token = directions(spec, tokens([4, 2, 3], spec=spec))
    assert is_token.sum(1).tolist() == [2, 0, 1]


def test_texts_without_tokens_have_figures_of_0():
    spec = fake_spec(pooling=("tokens",), max_length=6)
    one, other = (
        directions(spec, tokens([2], spec=spec)),
        directions(spec, tokens([5], spec=spec)),
    )
    assert not alignment(one, other, np.zeros((1, 4), np.float32)).any()


def test_the_common_direction_is_that_of_all_tokens():
    common = CommonDirections(SPEC)
    values = tokens([3, 6])
    common.add(values[:1])
    common.add(values[1:])
    rows = np.concatenate([values[0, :3], values[1]]).reshape(-1, 2, 4)
    mean = (rows / np.linalg.norm(rows, axis=2, keepdims=True)).sum(0)
    np.testing.assert_allclose(
        common.table(), mean / np.linalg.norm(mean, axis=1, keepdims=True), rtol=1e-4, atol=1e-6
    )
