import itertools

import numpy as np
from enc.store.orders import block_shuffle, epoch_order, rank_share, sorted_positions
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 3000), st.integers(0, 2**31), st.integers(1, 1000))
def test_epoch_order_is_a_permutation(rows, seed, epoch):
    order = epoch_order(rows, seed, epoch)
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))
    np.testing.assert_array_equal(order, epoch_order(rows, seed, epoch))
    np.testing.assert_array_equal(order, np.random.default_rng([seed, epoch]).permutation(rows))
    assert order.itemsize == 4


def test_epoch_order_changes_with_seed_and_epoch():
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


@given(st.integers(0, 1000), st.integers(1, 50))
def test_shares_are_disjoint_and_even(rows, world_size):
    shares = [rank_share(rows, rank, world_size) for rank in range(world_size)]
    assert [0, *(stop for _, stop in shares)] == [*(start for start, _ in shares), rows]
    sizes = [stop - start for start, stop in shares]
    assert max(sizes) - min(sizes) <= 1


@given(
    st.integers(0, 500),
    st.integers(1, 60),
    st.integers(1, 200),
    st.integers(0, 2**31),
    st.integers(1, 9),
)
def test_block_shuffle_is_a_permutation_whatever_the_ranks(rows, block_rows, buffer_rows, seed, world_size):
    def order(**options):
        fills = block_shuffle(rows, block_rows, buffer_rows, seed, 1, **options)
        return [place for places, chosen in fills for place in places[chosen].tolist()]

    shares = [order(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(itertools.chain(*shares)) == list(range(rows))
    last = shares[-1]
    for start in {0, 1, buffer_rows, len(last)} & set(range(len(last) + 1)):
        assert order(rank=world_size - 1, world_size=world_size, start=start) == last[start:]


def test_block_shuffle_mixes_within_and_among_blocks():
    def first_fill(seed, epoch):
        return next(block_shuffle(1000, 10, 100, seed, epoch))

    places, order = first_fill(1, 1)
    blocks = places.reshape(10, 10)
    assert (np.diff(blocks, axis=1) == 1).all()  # read block by block
    assert (np.diff(places) > 0).all()  # and forwards
    assert (np.diff(blocks[:, 0]) != 10).any()  # from all over the storage
    assert len(np.unique(places[order][:10] // 10)) > 3  # and are mixed
    orders = {
        tuple(places[order])
        for seed in range(5)
        for epoch in range(5)
        for places, order in [first_fill(seed, epoch)]
    }
    assert len(orders) == 25


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(1, 50), st.integers(0, 3))
def test_positions_are_sorted_stably_whatever_is_sorted_at_a_time(numbers, at_a_time, shift):
    numbers = np.array(numbers, np.int64) << 10 * shift
    order = sorted_positions(numbers, at_a_time)
    assert order.dtype == np.uint32
    np.testing.assert_array_equal(order, np.argsort(numbers, kind="stable"))
