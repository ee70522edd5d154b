"""Which epoch is kept, and when training ends."""

import pytest
from enc.engine.train.best import BestEpoch
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.sampled_from(["loss", "accuracy"]),
    st.lists(st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3])), max_size=12),
)
def test_the_first_of_the_best_epochs_is_kept(metric, values):
    best = BestEpoch(metric)
    kept = [epoch for epoch, value in enumerate(values, 1) if best.improves(epoch, value)]
    known = [value for value in values if value is not None]
    extreme = (min if metric == "loss" else max)(known, default=None)
    assert best.value == extreme
    assert best.epoch == (1 + values.index(extreme) if known else 0)
    assert kept[-1:] == ([best.epoch] if known else [])


@pytest.mark.parametrize(
    ("values", "patience", "last"),
    [
        ([0.5, 0.4, 0.4, 0.4], 2, 4),
        ([0.5, 0.6, 0.7], 2, 3),
        ([0.5, 0.6], 1, 2),
        ([None, None, None], 3, 3),
        ([None, 0.5, 0.6, 0.6], 2, 4),
    ],
)
def test_training_ends_so_many_epochs_after_the_best(values, patience, last):
    best = BestEpoch("loss", patience)
    for epoch, value in enumerate(values, 1):
        best.improves(epoch, value)
        assert best.is_over(epoch) == (epoch >= last)


def test_without_patience_it_never_ends():
    assert not BestEpoch("loss").is_over(1000)
