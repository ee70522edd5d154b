"""Which row is in which fold."""

import numpy as np
import pytest
from enc.engine.sweep.folds import fold_of_rows, mean_or_none
from enc.store import HeadError
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 9), min_size=4, max_size=40), st.integers(2, 4), st.integers(0, 2**63 - 1))
def test_folds_are_of_like_size_and_keep_texts_together(texts, folds, seed):
    distinct = set(texts)
    if len(distinct) < folds:
        with pytest.raises(HeadError, match=f"{folds} folds need as many distinct texts; there are"):
            fold_of_rows(np.array(texts), folds, seed)
        return
    fold_of = fold_of_rows(np.array(texts), folds, seed)
    of_text = {
        text: {fold for one, fold in zip(texts, fold_of, strict=True) if one == text} for text in texts
    }
    assert all(len(found) == 1 for found in of_text.values())
    sizes = np.bincount([found.pop() for found in of_text.values()], minlength=folds)
    assert len(sizes) == folds
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_what_they_were():
    # A head is compared with one of last year on the same folds.
    assert fold_of_rows(np.arange(10) * 7, 3, 42).tolist() == [2, 0, 0, 1, 0, 2, 1, 0, 1, 2]
    assert fold_of_rows(np.arange(10) * 7, 3, 43).tolist() != [2, 0, 0, 1, 0, 2, 1, 0, 1, 2]


def test_a_mean_of_what_is_undefined_is_undefined():
    assert mean_or_none([1.0, 2.0]) == 1.5
    assert mean_or_none([1.0, None]) is None
