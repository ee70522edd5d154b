import re
import threading
from pathlib import Path

from enc.store.delete import delete
from enc.store.progress import STAGES, counted, heard_by, hears_progress, listener, tell
from enc.store.vacuum import vacuum
from fakes import Heard
from feature_sets import filled

ROOT = Path(__file__).parents[2]


def test_what_is_told_is_heard_in_the_block_alone():
    heard = Heard()
    tell("encoding", 1, 2)
    with heard_by(heard):
        tell("encoding", 1, 2)
        with heard_by(None):  # leaves it to the one who listens
            tell("writing", 2, 2, "the last")
    tell("encoding", 2, 2)
    assert heard.told == [("encoding", 1, 2, ""), ("writing", 2, 2, "the last")]


def test_another_thread_tells_the_listener_that_it_was_given():
    heard = Heard()
    with heard_by(heard):
        told = listener()
        for target in (lambda: told("reading", 1, 2), lambda: tell("reading", 2, 2)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert heard.told == [("reading", 1, 2, "")]


def test_items_are_counted_when_the_next_is_asked_for():
    heard = Heard()
    with heard_by(heard):
        assert list(counted("ab", "folds", 3, 7)) == ["a", "b"]
    assert heard.of("folds") == [(3, 7), (4, 7), (5, 7)]


def test_a_function_hears_during_its_call():
    heard = Heard()

    @hears_progress
    def work(number, *, progress=None):
        tell("reading", number, number)
        return number

    assert work(3, progress=heard) == 3
    assert work(4) == 4
    assert heard.of("reading") == [(3, 3)]


def test_only_known_stages_are_told():
    code = [
        path for room in ("store", "engine", "pages", "benchmarks") for path in (ROOT / room).rglob("*.py")
    ]
    code.remove(ROOT / "store" / "progress.py")
    told = r'\b_?(?:tell|told|_tell)\(\s*"([^"]+)"|counted\([^"]*"([^"]+)"'
    found = {
        name
        for path in code
        for names in re.findall(told, path.read_text(encoding="utf-8"), re.DOTALL)
        for name in names
        if name
    }
    assert found == set(STAGES)


def test_deleting_and_vacuuming_tell_what_is_done(tmp_path):
    table, heard = filled(tmp_path / "store" / "set", range(10), range(10, 20)), Heard()
    with heard_by(heard):
        delete(table, where="n_tokens IN (3, 15)")
        vacuum(table, retain_hours=0)
    assert heard.of("deleting") == [(0, 2), (2, 2)]
    assert heard.of("clearing") == [(done, 3) for done in range(4)]
