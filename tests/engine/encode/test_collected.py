"""Features of windows are pooled by hand: the mean counts a window by its tokens, the maximum does not."""

import numpy as np
from enc.engine.encode.collected import CollectedFeatures
from enc.engine.encode.tokens import Tokens
from fakes import fake_spec


def tokens_of(lengths: list[int], owners: list[int]) -> Tokens:
    texts = max(owners) + 1
    ids = np.ones(sum(lengths), np.int32)
    n_tokens, cut = np.bincount(owners, lengths).astype(np.int32), np.zeros(texts, bool)
    return Tokens(ids, ids.astype(np.uint8), np.array(lengths, np.int32), n_tokens, cut, np.array(owners))


def test_windows_count_by_their_tokens():
    spec = fake_spec(hidden_size=1, pooling=("mean", "max"))
    collected = CollectedFeatures(tokens_of([6, 2, 5], [0, 0, 1]), spec)
    collected.put(np.array([2, 0]), np.array([[7, 8], [1, 3]], np.float32))
    assert collected.done.tolist() == [False, True]  # a window of the first text is still to come
    assert collected.values[1].tolist() == [7, 8]
    collected.put(np.array([1]), np.array([[5, 2]], np.float32))
    assert collected.done.all()
    assert collected.values.tolist() == [[(6 * 1 + 2 * 5) / 8, 3], [7, 8]]


def test_texts_that_are_one_sequence_each_are_kept_as_they_are():
    collected = CollectedFeatures(tokens_of([3, 1], [0, 1]), fake_spec(hidden_size=2))
    collected.put(np.array([1]), np.array([[1, 2]], np.float32))
    assert (collected.done.tolist(), collected.values[1].tolist()) == ([False, True], [1, 2])
