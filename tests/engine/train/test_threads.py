import pytest
import torch
from enc.engine.train.threads import SMALL_STEP, in_shares, is_small_step, one_thread


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_as_many_as_before_after():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread(False):
            assert torch.get_num_threads() == 1
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with one_thread(False):
        assert torch.get_num_threads() == 3


def test_an_exception_gives_the_threads_back():
    with pytest.raises(ValueError, match="in a step"), one_thread():
        raise ValueError("in a step")
    assert torch.get_num_threads() == 3


def test_small_is_a_matter_of_rows_parameters_and_positions():
    assert is_small_step(770, 1024)
    assert not is_small_step(770, 1024, positions=32)
    assert not is_small_step(SMALL_STEP // 8, 8)
    assert is_small_step(SMALL_STEP // 8, 7)


@pytest.mark.parametrize(
    ("rows", "options", "sizes"),
    [(10, {}, [3, 3, 4]), (10, dict(shares=4), [2, 3, 2, 3]), (2, {}, [1, 1]), (0, {}, [0])],
)
def test_shares_cover_the_rows_once_and_in_order(rows, options, sizes):
    found = in_shares(lambda first, stop: (range(first, stop), torch.get_num_threads()), rows, **options)
    assert [row for share, _ in found for row in share] == list(range(rows))
    assert sorted(len(share) for share, _ in found) == sorted(sizes)
    assert {threads for _, threads in found} == {1 if len(sizes) > 1 else 3}
    assert torch.get_num_threads() == 3
    assert len(in_shares(lambda first, stop: stop - first, 7, threads=2)) == 2
