import pytest
import torch
from enc.engine.threads import SMALL_STEP, is_small_step, one_thread


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
