import threading

import pytest
from enc.store.prefetch import computed_ahead, prefetched


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("enc-test")]


def test_items_are_made_one_ahead_and_in_another_thread():
    made = []

    def items():
        for number in range(5):
            made.append((number, threading.current_thread().name))
            yield number

    used = []
    for number in prefetched(items(), "enc-test"):
        used.append(number)
        assert len(made) <= number + 2
    assert used == [0, 1, 2, 3, 4]
    assert {name for _, name in made} == {"enc-test_0"}
    assert not threads()


def test_an_exception_arrives_here():
    def items():
        yield 1
        raise OSError("no disk")

    ahead = prefetched(items(), "enc-test")
    assert next(ahead) == 1
    with pytest.raises(OSError, match="no disk"):
        next(ahead)
    assert not threads()


def test_leaving_early_ends_the_thread():
    ahead = prefetched(iter(range(10)), "enc-test")
    assert next(ahead) == 0
    assert threads()
    ahead.close()
    assert not threads()


@pytest.mark.parametrize("number", [0, 1, 3])
def test_items_are_computed_in_order_and_a_few_ahead(number):
    begun = []

    def square(item):
        begun.append(item)
        return item * item

    for index, value in enumerate(computed_ahead(square, range(20), "enc-test", threads=number)):
        assert value == index * index
        assert len(begun) <= index + 1 + number
        assert len(threads()) <= number
    assert sorted(begun) == list(range(20))
    assert not threads()


def test_what_is_computed_ahead_ends_with_its_reader():
    ahead = computed_ahead(lambda item: 1 // item, [2, 1, 0, 3, 4], "enc-test", threads=2)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)
    assert not threads()
    ahead = computed_ahead(str, range(10), "enc-test", threads=2)
    next(ahead)
    ahead.close()
    assert not threads()


def test_several_items_are_made_ahead():
    made, four = [], threading.Event()

    def items():
        for number in range(9):
            made.append(number)
            if number == 3:
                four.set()
            yield number

    ahead = prefetched(items(), "enc-test", ahead=3)
    assert next(ahead) == 0
    assert four.wait(10)
    assert list(ahead) == list(range(1, 9))
    assert made == list(range(9))
    assert not threads()
