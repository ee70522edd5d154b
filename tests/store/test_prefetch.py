import threading

import pytest
from enc.store.prefetch import prefetched


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
